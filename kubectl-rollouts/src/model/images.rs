//! The images in use, each with the roles of the versions that run it.

use crds::kube::ResourceExt as _;
use crds::{Experiment, ReplicaSet};

use super::objects::{Role, controlled_by, hash, revision, roles};
use crate::picture::Picture;

/// An image and its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The image.
    pub image: String,
    /// Roles of the versions which run it; may be empty.
    pub roles: Vec<Role>,
}

/// Images of all versions that have pods, newest revision first, then those of running Experiments.
pub fn in_use(picture: &Picture) -> Vec<Image> {
    let mut images: Vec<Image> = Vec::new();
    let uid = picture.rollout.metadata.uid.as_deref();
    let mut own: Vec<&ReplicaSet> = picture.replica_sets.iter().filter(|set| controlled_by(*set, uid)).collect();
    own.sort_by_key(|set| std::cmp::Reverse(revision(*set)));
    for set in own {
        add(&mut images, set, &roles(&picture.rollout, hash(set)));
    }
    let experiments: Vec<&Experiment> = picture.experiments.iter().filter(|it| controlled_by(*it, uid)).collect();
    for experiment in experiments {
        add_versions(&mut images, experiment, &picture.replica_sets);
    }
    images
}

/// Images of the versions of an Experiment that have pods.
pub fn of_experiment(experiment: &Experiment, sets: &[ReplicaSet]) -> Vec<Image> {
    let mut images = Vec::new();
    add_versions(&mut images, experiment, sets);
    images
}

fn add_versions(images: &mut Vec<Image>, experiment: &Experiment, sets: &[ReplicaSet]) {
    for set in sets.iter().filter(|set| controlled_by(*set, experiment.metadata.uid.as_deref())) {
        let template = set.annotations().get(crds::words::EXPERIMENT_TEMPLATE_NAME_ANNOTATION);
        let role = Role::Experiment(template.cloned().unwrap_or_else(|| set.name_any()));
        add(images, set, &[role]);
    }
}

fn add(images: &mut Vec<Image>, set: &ReplicaSet, roles: &[Role]) {
    let pods = set.status.as_ref().map_or(0, |status| status.replicas);
    if pods == 0 {
        return;
    }
    for (_, image) in set.template().map(crds::PodTemplate::images).unwrap_or_default() {
        let at = images.iter().position(|known| known.image == image).unwrap_or_else(|| {
            images.push(Image { image: image.to_owned(), roles: Vec::new() });
            images.len() - 1
        });
        if let Some(known) = images.get_mut(at) {
            for role in roles {
                if !known.roles.contains(role) {
                    known.roles.push(role.clone());
                }
            }
        }
    }
}
