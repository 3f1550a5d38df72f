//! Figures of the configuration: lists, writes, files, health checks.

use super::{
    admin::Client,
    contender::{Server, Setup},
    cpu,
    report::{Report, Single, Target},
    scenarios::{Bench, median, numbered_path, route, text},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    io::Write,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Connections that write at the same time.
const WRITERS: usize = 16;
/// Documents that they write over, again and again.
const WRITTEN: usize = 1000;
/// Versions of a file that differ in one line.
const VERSIONS: usize = 11;
const NODES: usize = 10_000;
/// Seconds between two checks of a node.
const CHECK_INTERVAL: u64 = 10;
/// Durable writes a second where a write to the disk takes two milliseconds.
const WRITES_AT_2_MS: f64 = 2000.0;

impl Bench<'_> {
    /// `list-100k` and `page-100k`.
    pub(super) fn lists(&self, report: &mut Report, server: Result<&Server, &String>, count: usize) {
        for (name, what, query, unit, target) in [
            ("list-100k", "all routes in one answer of the Admin API", "", "s", Target::Below(1.0)),
            (
                "page-100k",
                "a page of 100 of them, from the middle",
                "?page=500&page_size=100",
                "ms",
                Target::Below(20.0),
            ),
        ] {
            if !self.wants(name) {
                continue;
            }
            super::note(name);
            let scale = if unit == "s" { 1.0 } else { 1e3 };
            let measured =
                server.map_err(String::clone).and_then(|server| text(list(server, query, count, self.options.rounds)));
            report.single(Single::own(name, what, unit, measured.map(|seconds| seconds * scale), Some(target)));
        }
    }

    /// `writes-16`, with the time of the disk beside it.
    pub(super) fn writes(&self, report: &mut Report) {
        if !self.wants("writes-16") {
            return;
        }
        super::note("writes-16");
        let disk = text(self.disk());
        let target = disk.as_ref().ok().map(|ms| Target::AtLeast(WRITES_AT_2_MS * 2.0 / ms.max(2.0)));
        report.single(Single::own("fsync", "a write of 4 KiB until it is on the disk", "ms", disk, None));
        let written = self.portcullis("portcullis-writes").and_then(|server| text(writes(&server, self)));
        let what = "durable writes of routes a second, 16 connections of the Admin API";
        report.single(Single::own("writes-16", what, "/s", written, target));
    }

    /// Milliseconds of a durable write of our own.
    fn disk(&self) -> Result<f64> {
        let mut file = File::create(self.scratch.dir("disk")?.join("file"))?;
        let mut times = Vec::new();
        for _ in 0..200 {
            let started = Instant::now();
            file.write_all(&[b'x'; 4096])?;
            file.sync_data()?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(times))
    }

    /// `standalone-100k`, `standalone-p99`, and the other routers: gateways that follow a file with many routes.
    pub(super) fn files(&self, report: &mut Report) {
        let count = self.options.routes;
        let file = declared(count, self.upstream.port, None);
        for (name, router) in
            [("routes-100k-uri", "radixtree_uri"), ("routes-100k-param", "radixtree_uri_with_parameter")]
        {
            if self.wants(name) {
                super::note(name);
                let setup = Setup { router: Some(router), file: Some(&file) };
                let many = self.portcullis_with(&format!("portcullis-{name}"), setup).and_then(|server| {
                    text(server.wait_for(&numbered_path(count), None, 200))?;
                    Ok(server)
                });
                report.row(self.last_route(name, many.as_ref(), count, Some(router)));
            }
        }
        if !self.wants("standalone-100k") && !self.wants("standalone-p99") {
            return;
        }
        super::note("standalone-100k, standalone-p99");
        let setup = Setup { router: None, file: Some(&file) };
        let measured =
            self.portcullis_with("portcullis-standalone", setup).and_then(|server| text(self.follow(&server, count)));
        let one = |pick: fn(&(f64, f64)) -> f64| measured.as_ref().map(pick).map_err(String::clone);
        let what = "a changed line in a file of all routes: from the new file in its place to the changed answer";
        report.single(Single::own("standalone-100k", what, "ms", one(|both| both.0), Some(Target::Below(300.0))));
        let what = "99th percentile of requests while such files are taken, to that before";
        report.single(Single::own("standalone-p99", what, "times", one(|both| both.1), Some(Target::AtMost(1.1))));
    }

    /// Milliseconds until a changed line has effect, and how much slower requests are meanwhile.
    fn follow(&self, server: &Server, count: usize) -> Result<(f64, f64)> {
        server.wait_for(&numbered_path(count), None, 200)?;
        let folder = self.scratch.dir("portcullis-standalone")?;
        let before = latencies(server, &AtomicBool::new(false), Some(Duration::from_secs(5)))?;
        let mut reader = Client::connect(server.port)?;
        let is_done = AtomicBool::new(false);
        let mut times = Vec::new();
        let meanwhile = thread::scope(|scope| {
            let sampler = scope.spawn(|| latencies(server, &is_done, None));
            let changed = (0..VERSIONS).try_for_each(|version| {
                let path = format!("/r/moved-{version}");
                fs::write(folder.join("new.yaml"), declared(count, self.upstream.port, Some(&path)))?;
                // Writing and reading a large file are not what is measured.
                thread::sleep(Duration::from_millis(500));
                let started = Instant::now();
                fs::rename(folder.join("new.yaml"), folder.join("apisix.yaml"))?;
                while reader.get(&path, None)? != 200 {
                    ensure!(started.elapsed() < Duration::from_secs(20), "the change has no effect after 20 s");
                    thread::sleep(Duration::from_millis(1));
                }
                times.push(started.elapsed().as_secs_f64() * 1e3);
                Ok(())
            });
            is_done.store(true, Ordering::Relaxed);
            let sampled = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
            changed.and(sampled)
        })?;
        Ok((median(times), percentile(meanwhile) / percentile(before)))
    }

    /// `health-10k`.
    pub(super) fn health(&self, report: &mut Report) {
        if !self.wants("health-10k") {
            return;
        }
        super::note("health-10k");
        let measured = self.portcullis("portcullis-health").and_then(|server| text(checks(&server, self)));
        let what = "of a core for the checks of 10,000 nodes over HTTP, each every 10 s";
        report.single(Single::own("health-10k", what, "%", measured, Some(Target::Below(5.0))));
    }
}

/// Median of the seconds of a list, whose size is checked.
fn list(server: &Server, query: &str, count: usize, rounds: u32) -> Result<f64> {
    let admin = server.admin.as_ref().context("no Admin API")?;
    let mut client = Client::connect(admin.port)?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        let (status, body) =
            client.read_from(&format!("/apisix/admin/routes{query}"), &format!("X-API-KEY: {}", admin.key))?;
        times.push(started.elapsed().as_secs_f64());
        let listed = body.matches("\"modifiedIndex\"").count();
        let expected = if query.is_empty() { count } else { 100.min(count) };
        ensure!(status == 200 && listed == expected, "status {status}, {listed} routes instead of {expected}");
    }
    Ok(median(times))
}

/// Writes a second over all connections.
fn writes(server: &Server, bench: &Bench<'_>) -> Result<f64> {
    let admin = server.admin.as_ref().context("no Admin API")?;
    let upstream = bench.upstream.port;
    admin.put_routes(WRITTEN, &|number| route(&numbered_path(number), upstream, ""))?;
    let (next, until) =
        (AtomicUsize::new(0), Instant::now() + Duration::from_secs(u64::from(bench.options.seconds.max(3))));
    let started = Instant::now();
    let written = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| -> Result<usize> {
                    let mut client = Client::connect(admin.port)?;
                    let mut count = 0;
                    while Instant::now() < until {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        let path = format!("/w/{turn}");
                        client.send(
                            &admin.put_text(&format!("routes/{}", turn % WRITTEN + 1), &route(&path, upstream, "")),
                        )?;
                        let (status, body) = client.receive()?;
                        if status != 200 {
                            bail!("PUT: {status} {}", body.trim());
                        }
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let mut sum = 0;
        for writer in writers {
            sum += writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok::<usize, anyhow::Error>(sum)
    })?;
    Ok(written as f64 / started.elapsed().as_secs_f64())
}

/// `apisix.yaml` with routes, the middle one at another path if there is one.
fn declared(count: usize, upstream: u16, moved: Option<&str>) -> String {
    let mut file = String::from("routes:\n");
    for number in 1..=count {
        let path = match moved {
            Some(path) if number == count.div_ceil(2) => path.to_owned(),
            _ => numbered_path(number),
        };
        file.push_str(&format!(
            "- {{id: {number}, uri: {path}, upstream: {{type: roundrobin, nodes: {{'127.0.0.1:{upstream}': 1}}}}}}\n"
        ));
    }
    file.push_str("#END\n");
    file
}

/// Milliseconds of requests, one after the other, until told to end or for some time.
fn latencies(server: &Server, is_done: &AtomicBool, time: Option<Duration>) -> Result<Vec<f64>> {
    let mut client = Client::connect(server.port)?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while !is_done.load(Ordering::Relaxed) && time.is_none_or(|time| begin.elapsed() < time) {
        let started = Instant::now();
        let status = client.get(&numbered_path(1), None)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(status == 200, "status {status} while a file is followed");
        thread::sleep(Duration::from_micros(500));
    }
    Ok(times)
}

/// The 99th percentile.
fn percentile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// Percent of a core that checks take.
fn checks(server: &Server, bench: &Bench<'_>) -> Result<f64> {
    let admin = server.admin.as_ref().context("no Admin API")?;
    let port = bench.upstream.h2_port;
    let nodes: Vec<String> =
        (0..NODES).map(|at| format!("\"127.0.{}.{}:{port}\":1", at / 250 + 1, at % 250 + 1)).collect();
    let checks = format!(
        r#"{{"active":{{"type":"http","http_path":"/post","timeout":3,"concurrency":100,"healthy":{{"interval":{CHECK_INTERVAL}}},"unhealthy":{{"interval":{CHECK_INTERVAL}}}}}}}"#
    );
    admin.put(
        "routes/1",
        &format!(
            r#"{{"uri":"/*","upstream":{{"type":"roundrobin","nodes":{{{}}},"checks":{checks}}}}}"#,
            nodes.join(",")
        ),
    )?;
    // The first request starts them.
    server.wait_for("/1k", None, 200)?;
    thread::sleep(Duration::from_secs(CHECK_INTERVAL + 2));
    let (connected, spent, started) = (connections()?, cpu::micros(server.pid())?, Instant::now());
    thread::sleep(Duration::from_secs(2 * CHECK_INTERVAL));
    let (connected, spent) = (connections()? - connected, cpu::micros(server.pid())? - spent);
    ensure!(connected as usize >= NODES * 3 / 2, "only {connected} connections in two rounds of checks");
    Ok(spent as f64 / 1e4 / started.elapsed().as_secs_f64())
}

/// TCP connections that were opened on this machine so far.
fn connections() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/snmp")?;
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let at = rows.next().and_then(|names| names.split(' ').position(|name| name == "ActiveOpens"));
    let value = at.and_then(|at| rows.next()?.split(' ').nth(at)?.parse().ok());
    value.context("/proc/net/snmp does not tell the connections")
}
