//! The view of a Rollout as text: a header in two columns, then the tree.

use crate::model::{ExperimentInfo, Image, Node, RolloutInfo};
use crate::terminal::{Text, columns};

/// Width of the header's first column.
const HEADER: usize = 17;

/// The whole view.
pub fn rollout(info: &RolloutInfo, colours: bool) -> String {
    let mut text = header(info, colours);
    text.push('\n');
    text.push_str(&tree(&info.tree, colours));
    text
}

/// The whole view of an Experiment.
pub fn experiment(info: &ExperimentInfo, colours: bool) -> String {
    let mut text = String::new();
    let mut line = |title: &str, value: &str| {
        text.push_str(format!("{title:<HEADER$}{value}").trim_end());
        text.push('\n');
    };
    line("Name:", &info.name);
    line("Namespace:", &info.namespace);
    line("Status:", &info.state.text().render(colours));
    if !info.message.is_empty() {
        line("Message:", &info.message);
    }
    for (index, used) in info.images.iter().enumerate() {
        line(if index == 0 { "Images:" } else { "" }, &image(used).render(colours));
    }
    text.push('\n');
    text.push_str(&tree(&info.tree, colours));
    text
}

fn header(info: &RolloutInfo, colours: bool) -> String {
    let mut lines = String::new();
    let mut line = |title: &str, value: &str| {
        lines.push_str(format!("{title:<HEADER$}{value}").trim_end());
        lines.push('\n');
    };
    line("Name:", &info.name);
    line("Namespace:", &info.namespace);
    line("Status:", &info.state.text().render(colours));
    if !info.message.is_empty() {
        line("Message:", &info.message);
    }
    if let Some(what) = &info.waits_for {
        line("Waits for:", what);
    }
    line("Strategy:", info.strategy.word());
    if let Some(progress) = &info.progress {
        if let Some((done, all)) = progress.step {
            line("  Step:", &format!("{done}/{all}"));
        }
        line("  SetWeight:", &progress.set_weight.to_string());
        line("  ActualWeight:", &progress.actual_weight.to_string());
    }
    for (index, used) in info.images.iter().enumerate() {
        line(if index == 0 { "Images:" } else { "" }, &image(used).render(colours));
    }
    line("Replicas:", "");
    let replicas = info.replicas;
    for (title, number) in [
        ("  Desired:", replicas.desired),
        ("  Current:", replicas.current),
        ("  Updated:", replicas.updated),
        ("  Ready:", replicas.ready),
        ("  Available:", replicas.available),
    ] {
        line(title, &number.to_string());
    }
    lines
}

fn image(image: &Image) -> Text {
    let mut text = Text::plain(&*image.image);
    for (index, role) in image.roles.iter().enumerate() {
        text = text.then(Text::plain(if index == 0 { " (" } else { ", " }));
        text = text.then(Text::coloured(role.colour(), role.tag()));
    }
    if image.roles.is_empty() { text } else { text.then(Text::plain(")")) }
}

fn tree(root: &Node, colours: bool) -> String {
    let mut rows = vec![["NAME", "KIND", "STATUS", "AGE", "INFO"].map(Text::from).to_vec()];
    add(&mut rows, root, "", "");
    columns(&rows, colours)
}

/// Adds the rows of a node: `lead` stands before its own line, `below` before those of its children.
fn add(rows: &mut Vec<Vec<Text>>, node: &Node, lead: &str, below: &str) {
    let mut info = Text::default();
    for (index, part) in node.info.iter().enumerate() {
        if index > 0 {
            info = info.then(Text::plain(","));
        }
        info = info.then(part.clone());
    }
    rows.push(vec![
        Text::plain(format!("{lead}{} {}", node.icon, node.name)),
        Text::plain(node.kind),
        node.state.as_ref().map(crate::model::State::text).unwrap_or_default(),
        Text::plain(node.age.map(|age| age.to_string()).unwrap_or_default()),
        info,
    ]);
    let last = node.children.len().saturating_sub(1);
    for (index, child) in node.children.iter().enumerate() {
        let (branch, rest) = if index == last { ("└──", "   ") } else { ("├──", "│  ") };
        add(rows, child, &format!("{below}{branch}"), &format!("{below}{rest}"));
    }
}
