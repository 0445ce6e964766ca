//! Writes every CustomResourceDefinition into the folder given (`cargo xtask crds` calls this).

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: crds-yaml FOLDER"))?;
    for (name, text) in crds::yaml() {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
