use anyhow::Context;
use model::settings::{ErrorLog, Level};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tracing_subscriber::{Registry, filter::LevelFilter, fmt, prelude::*, reload};

/// The error log: standard error, or a file that can be opened again under its name.
#[derive(Clone)]
pub(crate) struct Sink {
    target: Arc<Mutex<Target>>,
    /// What is written to it.
    level: reload::Handle<LevelFilter, Registry>,
}

/// Writes to a sink.
#[derive(Clone)]
struct SinkWriter(Arc<Mutex<Target>>);

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
        let target = Arc::new(Mutex::new(target));
        let (level, handle) = reload::Layer::new(filter(log.level));
        let writer = SinkWriter(target.clone());
        let layer = fmt::layer().with_ansi(false).with_target(false).with_writer(move || writer.clone());
        // Several gateways in one process share the first one's log.
        let _ = tracing_subscriber::registry().with(layer.with_filter(level)).try_init();
        Ok(Self { target, level: handle })
    }

    /// Writes from now on what has this level.
    pub(crate) fn set_level(&self, level: Level) -> anyhow::Result<()> {
        self.level.reload(filter(level)).context("the level of the error log cannot be changed")
    }

    /// Opens the file again, after it was moved away.
    pub(crate) fn reopen(&self) {
        let Ok(mut target) = self.target.lock() else { return };
        if let Target::File(file, path) = &mut *target
            && let Ok(new) = open(path)
        {
            *file = new;
        }
    }
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info | Level::Notice => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error | Level::Crit | Level::Alert | Level::Emerg => LevelFilter::ERROR,
    }
}

impl Write for SinkWriter {
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
