//! `docs/performance.md`.

use std::{fmt::Write as _, process::Command};

/// A number, or why there is none.
pub(super) type Figure<T> = Result<T, String>;

/// A line of the table of CPU costs; `None` is a contender that does not take part.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) nginx: Option<Figure<f64>>,
    pub(super) haproxy: Option<Figure<f64>>,
    pub(super) portcullis: Figure<f64>,
    /// Portcullis itself with one route, which then is the reference instead of nginx.
    pub(super) single_route: Option<Figure<f64>>,
    pub(super) target: f64,
}

/// What a single figure must keep to.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Not more than this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// A line of the table of single figures.
pub(super) struct Single {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) nginx: Option<Figure<f64>>,
    pub(super) haproxy: Option<Figure<f64>>,
    pub(super) portcullis: Figure<f64>,
    pub(super) target: Option<Target>,
}

/// What was measured.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    singles: Vec<Single>,
}

impl Report {
    pub(super) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn single(&mut self, single: Single) {
        self.singles.push(single);
    }

    /// The whole text.
    pub(super) fn markdown(&self, rounds: u32, seconds: u32, routes: usize) -> String {
        let mut out = String::from("# Performance\n\nWritten by `cargo xtask bench`; do not edit.\n\n");
        let mut invalid = Vec::new();
        facts(&mut out, rounds, seconds, routes);
        if !self.rows.is_empty() {
            out.push_str(
                "\n## CPU per request\n\n| scenario | nginx µs | HAProxy µs | Portcullis µs | ratio | target | verdict |\n\
                 |---|--:|--:|--:|--:|--:|---|\n",
            );
        }
        // What a refusal saves is told against nginx passing the request on.
        let proxied = self.rows.iter().find(|row| row.name == "keepalive-1k").and_then(|row| row.nginx.clone());
        for row in &self.rows {
            let reference = proxied.as_ref().filter(|_| row.name == "refused-401");
            row.write(&mut out, &mut invalid, reference);
        }
        if !self.singles.is_empty() {
            out.push_str(
                "\n## Single figures\n\n| figure | what | nginx | HAProxy | Portcullis | target | verdict |\n\
                 |---|---|--:|--:|--:|--:|---|\n",
            );
        }
        for single in &self.singles {
            single.write(&mut out, &mut invalid);
        }
        if !invalid.is_empty() {
            out.push_str("\n## Invalid figures\n\n");
            for (figure, why) in invalid {
                let _ = writeln!(out, "- {figure}: {}", why.replace('\n', " "));
            }
        }
        out
    }
}

impl Row {
    fn write(&self, out: &mut String, invalid: &mut Vec<(String, String)>, reference: Option<&Figure<f64>>) {
        let mut show = |figure: Option<&Figure<f64>>, who| cell(figure, self.name, who, 2, invalid);
        let nginx = show(self.nginx.as_ref(), "nginx");
        let haproxy = show(self.haproxy.as_ref(), "HAProxy");
        let mut own = show(Some(&self.portcullis), "Portcullis");
        if self.single_route.is_some() {
            let _ = write!(own, " (one route: {})", show(self.single_route.as_ref(), "Portcullis with one route"));
        }
        let ratio = match (reference.or(self.single_route.as_ref()).or(self.nginx.as_ref()), &self.portcullis) {
            (Some(Ok(reference)), Ok(own)) => Some(own / reference),
            _ => None,
        };
        let (ratio, verdict) = match ratio {
            None => ("–".to_owned(), "invalid"),
            Some(ratio) => (format!("{ratio:.2}"), verdict(ratio <= self.target)),
        };
        let _ = writeln!(
            out,
            "| {} | {nginx} | {haproxy} | {own} | {ratio} | ≤ {:.2} | {verdict} |",
            self.name, self.target
        );
    }
}

impl Single {
    /// A figure that only Portcullis has.
    pub(super) fn own(
        name: &'static str,
        what: &'static str,
        unit: &'static str,
        portcullis: Figure<f64>,
        target: Option<Target>,
    ) -> Self {
        Self { name, what, unit, nginx: None, haproxy: None, portcullis, target }
    }

    fn write(&self, out: &mut String, invalid: &mut Vec<(String, String)>) {
        let mut show = |figure: Option<&Figure<f64>>, who| {
            let cell = cell(figure, self.name, who, 1, invalid);
            if matches!(figure, Some(Ok(_))) { format!("{cell} {}", self.unit) } else { cell }
        };
        let nginx = show(self.nginx.as_ref(), "nginx");
        let haproxy = show(self.haproxy.as_ref(), "HAProxy");
        let own = show(Some(&self.portcullis), "Portcullis");
        let target = match self.target {
            None => "–".to_owned(),
            Some(Target::AtMost(most)) => format!("≤ {most} {}", self.unit),
            Some(Target::Below(bound)) => format!("< {bound} {}", self.unit),
            Some(Target::AtLeast(least)) => format!("≥ {least:.0} {}", self.unit),
        };
        let verdict = match (&self.portcullis, self.target) {
            (Err(_), _) => "invalid",
            (Ok(_), None) => "–",
            (Ok(value), Some(Target::AtMost(most))) => verdict(*value <= most),
            (Ok(value), Some(Target::Below(bound))) => verdict(*value < bound),
            (Ok(value), Some(Target::AtLeast(least))) => verdict(*value >= least),
        };
        let _ = writeln!(out, "| {} | {} | {nginx} | {haproxy} | {own} | {target} | {verdict} |", self.name, self.what);
    }
}

const fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

fn cell(
    figure: Option<&Figure<f64>>,
    name: &str,
    who: &str,
    digits: usize,
    invalid: &mut Vec<(String, String)>,
) -> String {
    match figure {
        None => "–".to_owned(),
        Some(Ok(value)) => format!("{value:.digits$}"),
        Some(Err(why)) => {
            invalid.push((format!("{name}, {who}"), why.clone()));
            "invalid".to_owned()
        }
    }
}

fn facts(out: &mut String, rounds: u32, seconds: u32, routes: usize) {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let machine_cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(cores);
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let _ = writeln!(
        out,
        "{}, {machine_cores} cores of {model}, Linux {}. {}, {}, {}, {}, {}.\n\n\
         {rounds} rounds of {seconds} s, interleaved over the contenders; the median counts. The gateway has core 0 to itself, with one \
         worker; upstream (nginx) and load share core 1. CPU µs: user and system time of the gateway's process, threads and children, \
         divided by the requests; bare nginx and HAProxy proxies over keep-alive connections to the upstream. The ratio is Portcullis \
         to nginx, for routes-100k to Portcullis with one route. `protected` is key-auth, limit-count and prometheus against bare \
         proxying; in `refused-401` each gateway refuses by itself, and the ratio is to nginx \
         passing 1 KiB on. An unexpected status or socket error makes a figure invalid. \
         Many routes: {routes}.",
        first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        first_line("uname", &["-r"]),
        first_line("nginx", &["-v"]),
        first_line("haproxy", &["-v"]).split(" - ").next().unwrap_or_default(),
        first_line("rustc", &["--version"]),
        first_line("wrk", &["-v"]).split(" [").next().unwrap_or_default(),
        first_line("h2load", &["--version"]),
    );
}

/// The first line that a program prints on either output.
fn first_line(program: &str, args: &[&str]) -> String {
    let printed = Command::new(program).args(args).output().ok().and_then(|output| {
        let all = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&all).lines().next().map(str::to_owned)
    });
    printed.unwrap_or_else(|| format!("{program} of unknown version"))
}
