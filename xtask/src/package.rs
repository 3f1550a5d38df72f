//! What users install: a static binary, a Debian package and the context of an image.

use crate::command::{cargo, is_installed, root, run as run_command};
use crate::metadata::{PLATFORM, target_dir};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The only architecture that is released.
const ARCHITECTURE: &str = "amd64";

/// Runs as root while the package is configured.
const POSTINST: &str = "#!/bin/sh
set -e
if [ \"$1\" = configure ]; then
    if ! getent passwd portcullis >/dev/null; then
        useradd --system --user-group --home-dir /var/lib/portcullis --no-create-home --shell /usr/sbin/nologin portcullis
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
fi
";

/// Runs as root before the files go.
const PRERM: &str = "#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then
    systemctl stop portcullis.service
fi
";

pub(crate) fn run(args: &[String]) -> Result<()> {
    ensure!(args.is_empty(), "usage: cargo xtask package");
    let out = target_dir()?.join("package");
    let binary = build()?;
    let version = version()?;
    let debian = debian(&out, &binary, &version)?;
    let docker = docker(&out, &binary)?;
    eprintln!("{}", binary.display());
    eprintln!("{}", debian.display());
    eprintln!("docker build -t portcullis:{version} {}", docker.display());
    Ok(())
}

/// The static binary: it needs no library of the machine that it runs on.
fn build() -> Result<PathBuf> {
    // A folder of its own, as other flags would build the development tree anew.
    let dir = target_dir()?.join("static");
    let mut command = cargo(["build", "--release", "--locked", "-p", "portcullis", "--target", PLATFORM]);
    command.arg("--target-dir").arg(&dir).env("RUSTFLAGS", "-C target-feature=+crt-static");
    run_command(&mut command)?;
    let binary = dir.join(PLATFORM).join("release/portcullis");
    ensure!(is_static(&binary)?, "{} asks for a dynamic loader", binary.display());
    Ok(binary)
}

/// Whether an ELF file names no interpreter.
fn is_static(binary: &Path) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let bytes = fs::read(binary).with_context(|| binary.display().to_string())?;
    let number = |at: usize, len: usize| {
        let bytes = bytes.get(at..at + len).context("not an ELF file")?;
        Ok::<_, anyhow::Error>(bytes.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte)))
    };
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "{} is not a 64-bit ELF file", binary.display());
    let (headers, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    for index in 0..count {
        if number(headers + index * size, 4)? == PT_INTERP as usize {
            return Ok(false);
        }
    }
    Ok(true)
}

fn version() -> Result<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let line =
        manifest.lines().find_map(|line| line.strip_prefix("version = ")).context("Cargo.toml has no version")?;
    Ok(line.trim_matches('"').to_owned())
}

fn debian(out: &Path, binary: &Path, version: &str) -> Result<PathBuf> {
    if !is_installed("dpkg-deb") {
        bail!("dpkg-deb is missing: it comes with Debian's package dpkg");
    }
    let tree = out.join("debian");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let packaging = root().join("packaging");
    put(&tree, "usr/bin/portcullis", &fs::read(binary)?, 0o755)?;
    put(&tree, "lib/systemd/system/portcullis.service", &fs::read(packaging.join("portcullis.service"))?, 0o644)?;
    put(&tree, "etc/portcullis/config.yaml", &fs::read(packaging.join("config.yaml"))?, 0o644)?;
    for name in ["README.md", "CHANGELOG.md"] {
        put(&tree, &format!("usr/share/doc/portcullis/{name}"), &fs::read(root().join(name))?, 0o644)?;
    }
    put(&tree, "usr/share/doc/portcullis/copyright", &fs::read(root().join("LICENSE"))?, 0o644)?;
    let kilobytes = fs::metadata(binary)?.len().div_ceil(1024);
    let control = format!(
        "Package: portcullis\nVersion: {version}\nArchitecture: {ARCHITECTURE}\nMaintainer: The Portcullis authors <portcullis@localhost>\n\
         Section: net\nPriority: optional\nInstalled-Size: {kilobytes}\nDescription: API security gateway\n A drop-in replacement for \
         Apache APISIX that is safe by default and needs no server\n beside it.\n"
    );
    put(&tree, "DEBIAN/control", control.as_bytes(), 0o644)?;
    put(&tree, "DEBIAN/conffiles", b"/etc/portcullis/config.yaml\n", 0o644)?;
    put(&tree, "DEBIAN/postinst", POSTINST.as_bytes(), 0o755)?;
    put(&tree, "DEBIAN/prerm", PRERM.as_bytes(), 0o755)?;
    let package = out.join(format!("portcullis_{version}_{ARCHITECTURE}.deb"));
    run_command(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Zxz"]).arg(&tree).arg(&package))?;
    Ok(package)
}

fn docker(out: &Path, binary: &Path) -> Result<PathBuf> {
    let context = out.join("docker");
    let packaging = root().join("packaging");
    put(&context, "portcullis", &fs::read(binary)?, 0o755)?;
    put(&context, "config.yaml", &fs::read(packaging.join("docker.yaml"))?, 0o644)?;
    put(&context, "Dockerfile", &fs::read(packaging.join("Dockerfile"))?, 0o644)?;
    Ok(context)
}

fn put(tree: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let path = tree.join(name);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(())
}
