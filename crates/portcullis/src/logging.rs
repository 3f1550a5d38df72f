use anyhow::Context;
use model::settings::{ErrorLog, Level};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tracing_subscriber::{filter::LevelFilter, fmt, prelude::*};

/// The error log: standard error, or a file that can be opened again under its name.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Mutex<Target>>);

enum Target {
    Stderr,
    File(File, PathBuf),
}

impl Sink {
    /// Starts logging.
    pub(crate) fn start(log: &ErrorLog) -> anyhow::Result<Self> {
        let target = match log.path.as_str() {
            "stderr" | "/dev/stderr" | "" => Target::Stderr,
            path => {
                let path = PathBuf::from(path);
                Target::File(
                    open(&path).with_context(|| format!("cannot open the error log {}", path.display()))?,
                    path,
                )
            }
        };
        let sink = Self(Arc::new(Mutex::new(target)));
        let level = match log.level {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info | Level::Notice => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error | Level::Crit | Level::Alert | Level::Emerg => LevelFilter::ERROR,
        };
        let writer = sink.clone();
        let layer = fmt::layer().with_ansi(false).with_target(false).with_writer(move || writer.clone());
        // Several gateways in one process share the first one's log.
        let _ = tracing_subscriber::registry().with(layer.with_filter(level)).try_init();
        Ok(sink)
    }

    /// Opens the file again, after it was moved away.
    pub(crate) fn reopen(&self) {
        let Ok(mut target) = self.0.lock() else { return };
        if let Target::File(file, path) = &mut *target
            && let Ok(new) = open(path)
        {
            *file = new;
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Ok(mut target) = self.0.lock() else { return Ok(bytes.len()) };
        match &mut *target {
            Target::Stderr => io::stderr().write(bytes),
            Target::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
    {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}
