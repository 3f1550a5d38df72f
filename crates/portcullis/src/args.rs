use clap::{Parser, Subcommand, ValueEnum};
use std::{net::IpAddr, path::PathBuf};

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

Signals: TERM and INT let requests finish and end, HUP reads the settings again, USR1 reopens the log files."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway (also what happens without a command)
    Run(Run),
    /// Look for everything that is wrong with a configuration, or weaker than it looks
    Check(Check),
    /// Say what would happen to a request, and why
    Explain(Explain),
    /// Move in from APISIX: say what becomes of its files, and write those for here
    Migrate(Migrate),
    /// Print a JSON Schema of config.yaml or apisix.yaml, for editors
    Schema(Schema),
    /// Print completions for a shell
    Completions(Completions),
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

/// Which configuration is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    #[command(flatten)]
    pub(crate) settings: Run,
    /// apisix.yaml or apisix.json, instead of what the settings name
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the settings and at what they say to serve: a declarative file, or what is stored. What a running gateway has stored is asked \
of its control API. Exit status 1 when there is an error, with --strict also when there is a warning.")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Fail on warnings, too
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis explain -X POST -H 'apikey: k' --client 10.1.2.3 http://api.example.com/orders?id=7

No plugin runs and nothing is sent: it says which route is chosen and why others are not, which plugins would run and where they \
were configured, and which upstream would be asked.")]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The URL, or its path and query alone
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// A header field, such as 'Host: api.example.com'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// The body
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub(crate) data: String,
    /// The address from which the connection comes
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client: Option<IpAddr>,
    /// The consumer that the client would be found to be
    #[arg(long, value_name = "USERNAME")]
    pub(crate) consumer: Option<String>,
}

/// Options of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line says what becomes of a setting or an object: it is refused, differs, or was changed in the new files. What is the same is only \
counted. Exit status 1 when something is refused.")]
pub(crate) struct Migrate {
    /// APISIX's config.yaml; conf/config.yaml without it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// APISIX's apisix.yaml or apisix.json; the one beside config.yaml without it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Where to write the new files; without it nothing is written
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Name what is the same, too
    #[arg(long)]
    pub(crate) all: bool,
}

/// Options of `schema`.
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// Of which file
    pub(crate) of: SchemaOf,
}

/// What there are schemas of.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaOf {
    /// config.yaml, the settings
    Config,
    /// apisix.yaml and apisix.json, routes and all the rest
    Apisix,
}

/// Options of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// Of which shell
    pub(crate) shell: clap_complete::Shell,
}

impl Args {
    /// What the arguments ask for.
    pub(crate) fn asked(self) -> Command {
        let config = self.run.config;
        match self.command {
            None => Command::Run(Run { config }),
            Some(Command::Run(run)) => Command::Run(Run { config: run.config.or(config) }),
            Some(Command::Check(mut check)) => {
                check.which.settings.config = check.which.settings.config.or(config);
                Command::Check(check)
            }
            Some(Command::Explain(mut explain)) => {
                explain.which.settings.config = explain.which.settings.config.or(config);
                Command::Explain(explain)
            }
            Some(other) => other,
        }
    }
}
