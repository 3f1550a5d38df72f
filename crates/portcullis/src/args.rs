use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// API security gateway: a drop-in replacement for Apache APISIX.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    disable_version_flag = true,
    after_help = "\
Without any argument a gateway starts with defaults: proxy on 9080, Admin API on 127.0.0.1:9180, everything it keeps in
./portcullis-data. It needs no file and no server.

Protect an API that listens on 127.0.0.1:8000:
  KEY=$(cat portcullis-data/admin.key)
  curl -H \"X-API-KEY: $KEY\" -X PUT http://127.0.0.1:9180/apisix/admin/consumers \\
       -d '{\"username\":\"alice\",\"plugins\":{\"key-auth\":{\"key\":\"alices-key\"}}}'
  curl -H \"X-API-KEY: $KEY\" -X PUT http://127.0.0.1:9180/apisix/admin/routes/1 \\
       -d '{\"uri\":\"/*\",\"plugins\":{\"key-auth\":{}},\"upstream\":{\"nodes\":{\"127.0.0.1:8000\":1}}}'
  curl -H 'apikey: alices-key' http://127.0.0.1:9080/

Signals: TERM and INT let requests finish and end, USR1 reopens the log files."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the gateway (also what happens without a command)
    Run(Run),
    /// Print the version
    Version,
}

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// APISIX's config.yaml; without it, conf/config.yaml if there is one, else defaults
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What is to be done.
pub(crate) enum Action {
    /// Start the gateway.
    Run(Run),
    /// Print the version.
    Version,
}

impl Args {
    /// What the arguments ask for.
    pub(crate) fn action(self) -> Action {
        match self.command {
            None => Action::Run(self.run),
            Some(Command::Run(run)) => Action::Run(Run { config: run.config.or(self.run.config) }),
            Some(Command::Version) => Action::Version,
        }
    }
}
