//! What is measured, and how.

use super::{
    Options,
    admin::Client,
    contender::{self, Scratch, Server, Setup},
    cpu, guards,
    load::{Expects, Load},
    report::{Figure, Report, Row, Single, Target},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// Every scenario, in the order of the report.
pub(super) const NAMES: [&str; 30] = [
    "keepalive-1k",
    "keepalive-64k",
    "post-1k",
    "http2",
    "protected",
    "refused-401",
    "limit-count",
    "limit-req",
    "limit-conn",
    "restrictions",
    "validated",
    "openapi-300",
    "routes-100k",
    "idle-memory",
    "ready",
    "rest",
    "start-100k",
    "change-100k",
    "route-bytes",
    "list-100k",
    "page-100k",
    "writes-16",
    "standalone-100k",
    "standalone-p99",
    "routes-100k-uri",
    "routes-100k-param",
    "health-10k",
    "live-keys",
    "past-keys",
    "two-workers",
];

const KEY_HEADER: &str = "apikey: bench-consumer-key";
const IDLE_CONNECTIONS: usize = 10_000;
const CHANGES: usize = 21;

/// What all scenarios need.
pub(super) struct Bench<'a> {
    pub(super) options: &'a Options,
    pub(super) scratch: &'a Scratch,
    pub(super) upstream: &'a Server,
    /// The built binary, or why there is none.
    pub(super) portcullis: Result<PathBuf, String>,
}

/// A scenario of load through gateways.
struct Leg<'a> {
    name: &'static str,
    path: &'a str,
    /// What nginx and HAProxy are asked instead.
    bare_path: &'a str,
    load: Load<'a>,
    status: u16,
    target: f64,
}

impl Bench<'_> {
    /// Runs every wanted scenario.
    pub(super) fn run(&self, report: &mut Report) -> Result<()> {
        self.loads(report)?;
        self.starts(report);
        self.idle(report);
        self.many_routes(report);
        self.writes(report);
        self.files(report);
        self.health(report);
        self.counters(report);
        Ok(())
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.options.only.as_deref().is_none_or(|only| only == name)
    }

    fn nginx(&self) -> Figure<Server> {
        text(contender::nginx_proxy(self.scratch, self.upstream.port))
    }

    fn haproxy(&self) -> Figure<Server> {
        text(contender::haproxy(self.scratch, self.upstream.port))
    }

    pub(super) fn portcullis(&self, name: &str) -> Figure<Server> {
        self.portcullis_with(name, Setup::default())
    }

    pub(super) fn portcullis_with(&self, name: &str, setup: Setup<'_>) -> Figure<Server> {
        let binary = self.portcullis.as_ref().map_err(String::clone)?;
        text(contender::portcullis(self.scratch, binary, name, setup))
    }

    /// Portcullis with the routes of the load scenarios.
    fn routed(&self) -> Figure<Server> {
        let server = self.portcullis("portcullis")?;
        let port = self.upstream.port;
        let set_up = || -> Result<()> {
            let admin = server.admin.as_ref().context("no Admin API")?;
            admin.put("routes/1", &route("/*", port, ""))?;
            admin.put("consumers", r#"{"username":"bench","plugins":{"key-auth":{"key":"bench-consumer-key"}}}"#)?;
            let limited = r#","plugins":{"key-auth":{},"limit-count":{"count":1000000000000,"time_window":86400,"key":"remote_addr","policy":"local"},"prometheus":{}}"#;
            admin
                .put("routes/2", &route("/protected/*", port, limited))
                .map_err(|error| {
                    // A plugin that is not there yet only costs the scenarios that need it.
                    super::note(&format!("portcullis: {error:#}"));
                    error
                })
                .or(Ok::<(), anyhow::Error>(()))?;
            admin.put("routes/3", &route("/refused", port, r#","plugins":{"key-auth":{}}"#))?;
            for guard in guards::ALL.iter().filter(|guard| self.wants(guard.name)) {
                guard.put(admin, port).with_context(|| guard.name)?;
                ensure!(guard.is_on(server.port)?, "{} lets everything pass", guard.name);
            }
            server.wait_for("/1k", None, 200)
        };
        text(set_up())?;
        Ok(server)
    }

    fn loads(&self, report: &mut Report) -> Result<()> {
        let script = self.scratch.dir("wrk")?.join("post.lua");
        fs::write(
            &script,
            "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", 1024)\nwrk.headers[\"Content-Type\"] = \"application/octet-stream\"\n",
        )?;
        let plain = || Load::Wrk { script: None, header: None, expects: Expects::Success };
        let leg = |name, path, load, target| Leg { name, path, bare_path: path, load, status: 200, target };
        let post = Load::Wrk { script: Some(&script), header: None, expects: Expects::Success };
        let keyed = Load::Wrk { script: None, header: Some(KEY_HEADER), expects: Expects::Success };
        let refused = Load::Wrk { script: None, header: None, expects: Expects::Refusal };
        let json = self.scratch.dir("wrk")?.join("json.lua");
        let body = guards::BODY;
        fs::write(
            &json,
            format!(
                "wrk.method = \"POST\"\nwrk.body = [[{body}]]\nwrk.headers[\"Content-Type\"] = \"application/json\"\n"
            ),
        )?;
        let mut legs = vec![
            leg("keepalive-1k", "/1k", plain(), 0.90),
            leg("keepalive-64k", "/64k", plain(), 0.75),
            leg("post-1k", "/post", post, 0.95),
            leg("http2", "/1k", Load::H2load, 1.0),
            Leg { bare_path: "/1k", ..leg("protected", "/protected/1k", keyed, 1.10) },
            Leg { status: 401, ..leg("refused-401", "/refused", refused, 0.6) },
        ];
        for guard in &guards::ALL {
            let script = guard.is_post.then_some(&*json);
            let load = Load::Wrk { script, header: None, expects: Expects::Success };
            legs.push(leg(guard.name, guard.path, load, guard.target));
        }
        if !legs.iter().any(|leg| self.wants(leg.name)) {
            return Ok(());
        }
        let servers = [self.nginx(), self.haproxy(), self.routed()];
        for leg in legs.iter().filter(|leg| self.wants(leg.name)) {
            super::note(leg.name);
            let paths = [leg.bare_path, leg.bare_path, leg.path];
            let contenders: Vec<_> = servers.iter().zip(paths).map(|(server, path)| (server.as_ref(), path)).collect();
            let mut figures = self.measure(&contenders, leg).into_iter();
            let mut next = || figures.next().unwrap_or_else(|| Err("not measured".to_owned()));
            report.row(Row {
                name: leg.name,
                nginx: Some(next()),
                haproxy: Some(next()),
                portcullis: next(),
                single_route: None,
                target: leg.target,
            });
        }
        Ok(())
    }

    /// Medians of CPU µs a request, in rounds over all contenders.
    fn measure(&self, contenders: &[(Result<&Server, &String>, &str)], leg: &Leg<'_>) -> Vec<Figure<f64>> {
        let mut samples: Vec<Figure<Vec<f64>>> = contenders
            .iter()
            .map(|(server, path)| {
                let server = (*server).map_err(String::clone)?;
                self.warm_up(server, path, leg).map_err(|error| server.explain(&error))?;
                Ok(Vec::new())
            })
            .collect();
        for _ in 0..self.options.rounds {
            for ((server, path), samples) in contenders.iter().zip(&mut samples) {
                let (Ok(server), Ok(values)) = (server, &mut *samples) else { continue };
                match self.cost(server, path, leg, self.options.seconds) {
                    Ok(micros) => values.push(micros),
                    Err(error) => *samples = Err(server.explain(&error)),
                }
            }
        }
        samples.into_iter().map(|samples| samples.map(median)).collect()
    }

    fn warm_up(&self, server: &Server, path: &str, leg: &Leg<'_>) -> Result<()> {
        if !path.starts_with("/post") {
            let header = matches!(leg.load, Load::Wrk { header: Some(_), .. }).then_some(KEY_HEADER);
            if path != leg.bare_path {
                // Otherwise bare proxying would be measured in place of protection.
                let got = Client::connect(server.port)?.get(path, None)?;
                ensure!(got == 401, "{path} is not protected: status {got} without a key");
            }
            let got = Client::connect(server.port)?.get(path, header)?;
            if got != leg.status {
                bail!("status {got} instead of {}", leg.status);
            }
        }
        self.cost(server, path, leg, 1).map(drop)
    }

    fn cost(&self, server: &Server, path: &str, leg: &Leg<'_>, seconds: u32) -> Result<f64> {
        let port = if matches!(leg.load, Load::H2load) { server.h2_port } else { server.port };
        let before = cpu::micros(server.pid())?;
        let requests = leg.load.run(&format!("http://127.0.0.1:{port}{path}"), seconds)?;
        let spent = cpu::micros(server.pid())?.saturating_sub(before);
        Ok(spent as f64 / requests as f64)
    }

    /// `ready` and `rest`.
    fn starts(&self, report: &mut Report) {
        if !self.wants("ready") && !self.wants("rest") {
            return;
        }
        super::note("ready, rest");
        let start = |which: usize, round: u32| match which {
            0 => self.nginx(),
            1 => self.haproxy(),
            // A new data directory each time: the first start is the slowest.
            _ => self.portcullis(&format!("portcullis-start-{round}")),
        };
        let mut ready: [Figure<Vec<f64>>; 3] = [const { Ok(Vec::new()) }; 3];
        let mut rest = ready.clone();
        for round in 0..self.options.rounds {
            for which in 0..3 {
                let measured = start(which, round).and_then(|server| {
                    thread::sleep(Duration::from_millis(300));
                    let resident = text(cpu::resident(server.pid()))?;
                    Ok((server.ready.as_secs_f64() * 1e3, resident as f64 / MIB))
                });
                keep(&mut ready[which], measured.as_ref().map(|both| both.0));
                keep(&mut rest[which], measured.as_ref().map(|both| both.1));
            }
        }
        let mut add = |name, what, unit, [nginx, haproxy, own]: [Figure<Vec<f64>>; 3], target| {
            if self.wants(name) {
                report.single(Single {
                    name,
                    what,
                    unit,
                    nginx: Some(nginx.map(median)),
                    haproxy: Some(haproxy.map(median)),
                    portcullis: own.map(median),
                    target: Some(target),
                });
            }
        };
        add("ready", "exec to the first accepted connection", "ms", ready, Target::AtMost(50.0));
        add("rest", "resident memory after start, all processes", "MiB", rest, Target::AtMost(20.0));
    }

    fn idle(&self, report: &mut Report) {
        if !self.wants("idle-memory") {
            return;
        }
        super::note("idle-memory");
        let measure = |server: Figure<Server>| server.and_then(|server| text(idle_bytes(&server)));
        report.single(Single {
            name: "idle-memory",
            what: "resident memory of an idle keep-alive connection after one request, 10,000 open",
            unit: "KiB",
            nginx: Some(measure(self.nginx())),
            haproxy: Some(measure(self.haproxy())),
            portcullis: measure(self.routed()),
            target: Some(Target::AtMost(4.0)),
        });
    }

    /// `routes-100k`, `change-100k`, `route-bytes`, `start-100k`: one gateway with many routes.
    fn many_routes(&self, report: &mut Report) {
        let wanted: Vec<&str> = ["routes-100k", "change-100k", "route-bytes", "start-100k", "list-100k", "page-100k"]
            .into_iter()
            .filter(|name| self.wants(name))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let count = self.options.routes;
        super::note(&format!("loading {count} routes"));
        let own = Single::own;
        let loaded = self.load_routes(count);
        let (server, load) = match loaded {
            Ok((server, load)) => (Ok(server), Ok(load)),
            Err(why) => (Err(why.clone()), Err(why)),
        };
        report.single(own(
            "load-100k",
            "storing all routes over 16 connections of the Admin API",
            "s",
            load.as_ref().map(|load| load.seconds).map_err(String::clone),
            None,
        ));
        if self.wants("routes-100k") {
            super::note("routes-100k");
            report.row(self.last_route("routes-100k", server.as_ref(), count, None));
        }
        if self.wants("change-100k") {
            super::note("change-100k");
            let changed = server.as_ref().map_err(String::clone).and_then(|server| text(self.change(server, count)));
            let what = "a changed route among all: answer of the PUT to changed answer of the route";
            report.single(own("change-100k", what, "ms", changed, Some(Target::Below(10.0))));
        }
        if self.wants("route-bytes") {
            let bytes = load.map(|load| load.bytes_a_route / 1024.0);
            let what = "growth of resident memory a route, less its JSON";
            report.single(own("route-bytes", what, "KiB", bytes, Some(Target::AtMost(4.0))));
        }
        self.lists(report, server.as_ref(), count);
        if self.wants("start-100k") {
            super::note("start-100k");
            let started = server.and_then(|server| {
                drop(server);
                (0..self.options.rounds.min(3)).map(|_| self.start_with_routes(count)).collect::<Figure<Vec<f64>>>()
            });
            let what = "exec to the first answer of the last stored route";
            report.single(own("start-100k", what, "s", started.map(median), Some(Target::Below(2.0))));
        }
    }

    fn load_routes(&self, count: usize) -> Figure<(Server, RouteLoad)> {
        let server = self.portcullis("portcullis-many")?;
        let upstream = self.upstream.port;
        let load = || -> Result<RouteLoad> {
            let admin = server.admin.as_ref().context("no Admin API")?;
            thread::sleep(Duration::from_millis(500));
            let before = cpu::resident(server.pid())?;
            let started = Instant::now();
            let json_bytes = admin.put_routes(count, &|number| numbered(number, upstream))?;
            let seconds = started.elapsed().as_secs_f64();
            server.wait_for(&numbered_path(count), None, 200)?;
            // Garbage of the last snapshots may still be on its way out.
            thread::sleep(Duration::from_secs(3));
            let grown = cpu::resident(server.pid())?.saturating_sub(before);
            Ok(RouteLoad { seconds, bytes_a_route: (grown as f64 - json_bytes as f64) / count as f64 })
        };
        let load = text(load())?;
        Ok((server, load))
    }

    /// The last of all routes against the only route of another gateway.
    pub(super) fn last_route(
        &self,
        name: &'static str,
        many: Result<&Server, &String>,
        count: usize,
        router: Option<&str>,
    ) -> Row {
        let path = numbered_path(count);
        let leg = Leg {
            name,
            path: &path,
            bare_path: &path,
            load: Load::Wrk { script: None, header: None, expects: Expects::Success },
            status: 200,
            target: 1.03,
        };
        let setup = Setup { router, file: None };
        let single = self.portcullis_with(&format!("portcullis-single-{name}"), setup).and_then(|server| {
            let admin = server.admin.as_ref().ok_or("no Admin API")?;
            text(admin.put("routes/1", &numbered(count, self.upstream.port)))?;
            text(server.wait_for(&path, None, 200))?;
            Ok(server)
        });
        let figures = self.measure(&[(single.as_ref(), &path), (many, &path)], &leg);
        let [single, many] = <[_; 2]>::try_from(figures).unwrap_or([const { Err(String::new()) }; 2]);
        Row {
            name: leg.name,
            nginx: None,
            haproxy: None,
            portcullis: many,
            single_route: Some(single),
            target: leg.target,
        }
    }

    fn start_with_routes(&self, count: usize) -> Figure<f64> {
        let started = Instant::now();
        let server = self.portcullis("portcullis-many")?;
        text(server.wait_for(&numbered_path(count), None, 200))?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Median of milliseconds until a route that moved to another path answers there.
    fn change(&self, server: &Server, count: usize) -> Result<f64> {
        let admin = server.admin.as_ref().context("no Admin API")?;
        let mut writer = Client::connect(admin.port)?;
        let mut reader = Client::connect(server.port)?;
        let mut times = Vec::with_capacity(CHANGES);
        for round in 0..CHANGES {
            let path = format!("/r/moved-{round}");
            let put = admin.put_text(&format!("routes/{}", count.div_ceil(2)), &route(&path, self.upstream.port, ""));
            let before = reader.get(&path, None)?;
            if before != 404 {
                bail!("{path} is answered with {before} before there is such a route");
            }
            writer.send(&put)?;
            let (status, body) = writer.receive()?;
            ensure!(status == 200, "PUT of a changed route: {status} {}", body.trim());
            let answered = Instant::now();
            loop {
                match reader.get(&path, None) {
                    Ok(200) => break,
                    Ok(404) => {}
                    Ok(status) => bail!("status {status} while a route changed"),
                    Err(error) => return Err(error.context("while a route changed")),
                }
                if answered.elapsed() > Duration::from_secs(10) {
                    bail!("the change is not on the wire after 10 s");
                }
            }
            times.push(answered.elapsed().as_secs_f64() * 1e3);
            thread::sleep(Duration::from_millis(50));
        }
        Ok(median(times))
    }
}

struct RouteLoad {
    seconds: f64,
    bytes_a_route: f64,
}

const MIB: f64 = 1_048_576.0;

/// KiB of an idle connection.
fn idle_bytes(server: &Server) -> Result<f64> {
    // The buffers of a few exchanges are no cost of idle connections.
    server.wait_for("/1k", None, 200)?;
    let before = cpu::resident(server.pid())?;
    let mut open = Vec::with_capacity(IDLE_CONNECTIONS);
    for number in 0..IDLE_CONNECTIONS {
        let mut client = Client::connect(server.port).with_context(|| format!("connection {number}"))?;
        let status = client.get("/1k", None).with_context(|| format!("connection {number}"))?;
        if status != 200 {
            bail!("status {status} on connection {number}");
        }
        open.push(client);
    }
    thread::sleep(Duration::from_secs(1));
    let after = cpu::resident(server.pid())?;
    // Were the connections closed meanwhile, they would cost nothing.
    for client in open.iter_mut().step_by(500) {
        if client.get("/1k", None)? != 200 {
            bail!("an idle connection is no longer answered");
        }
    }
    Ok((after as f64 - before as f64) / 1024.0 / IDLE_CONNECTIONS as f64)
}

pub(super) fn route(uri: &str, upstream: u16, more: &str) -> String {
    format!(r#"{{"uri":"{uri}","upstream":{{"type":"roundrobin","nodes":{{"127.0.0.1:{upstream}":1}}}}{more}}}"#)
}

pub(super) fn numbered_path(number: usize) -> String {
    format!("/r/{number:06}")
}

pub(super) fn numbered(number: usize, upstream: u16) -> String {
    route(&numbered_path(number), upstream, "")
}

fn keep(samples: &mut Figure<Vec<f64>>, value: Result<f64, &String>) {
    match (&mut *samples, value) {
        (Ok(values), Ok(value)) => values.push(value),
        (Ok(_), Err(why)) => *samples = Err(why.clone()),
        (Err(_), _) => {}
    }
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}

pub(super) fn text<T>(result: Result<T>) -> Figure<T> {
    result.map_err(|error| format!("{error:#}"))
}

/// Whether a name is that of a scenario.
pub(super) fn check(name: &str) -> Result<()> {
    if NAMES.contains(&name) { Ok(()) } else { Err(anyhow!("no scenario {name:?}; there are {}", NAMES.join(", "))) }
}
