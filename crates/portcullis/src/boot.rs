//! From arguments to a running gateway, and to its end.

use crate::{
    api::{Api, ApiService, Call},
    args,
    live::Live,
    logging::Sink,
    node,
    reload::Reload,
    settings,
    source::Source,
};
use admin::AdminApi;
use anyhow::Context;
use control::ControlApi;
use engine::{Census, Drain, Limits, Listener, Service};
use gateway::{
    exchange::{Edge, access_log::AccessLog},
    flow::Flow,
    options,
    plugins::PluginSet,
    upstream::{
        Registry, RegistryOptions,
        dns::{DnsOptions, Resolver},
    },
};
use model::settings::{Settings, name_server};
use plugin::{NodeStatus, Reply, Shared};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{Signal, SignalKind, signal},
};
use wire::BodyError;

/// How often a worker looks whether it is to end, sweeps its pools and flushes its log.
const TICK: Duration = Duration::from_millis(100);

/// Starts the gateway and runs it until it is told to end.
pub(crate) fn run(run: &args::Run) -> anyhow::Result<()> {
    let read = settings::read(run.config.as_deref())?;
    let source = read.source()?;
    let settings = &read.settings;
    let sink = Sink::start(&settings.error_log)?;
    engine::install_cryptography();
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("cannot create the data folder {}", settings.data_dir.display()))?;
    let background = Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("background").build()?;
    // Before anything listens: who is told that we are ready may tell us to end.
    let signals = background.block_on(async { Signals::catch() })?;
    let mut shared = Shared::with_bodies(options::bodies(settings));
    shared.https_ports.clone_from(&settings.listen.https_ports);
    shared.node.started = shared.clock.now();
    shared.node.id = match &settings.node_id {
        Some(id) => id.clone(),
        None => node::id(&settings.data_dir)?,
    };
    let shared = Arc::new(shared);
    let plugins = PluginSet::new(catalog::all(), settings.plugins.as_deref(), &settings.plugin_attr, settings.compat)?;
    let plugins = Arc::new(plugins.with_environment(Arc::new(settings::variable)));
    for notice in plugins.prepare(&shared)? {
        let _ = writeln!(std::io::stderr(), "portcullis: {notice}");
    }
    warn_of_unknown_plugins(settings, &plugins);
    let upstreams = shared.kept(Registry::default);
    let roots = options::roots(settings).map_err(anyhow::Error::msg)?;
    if let Some(reason) = roots.missing() {
        tracing::info!(reason, "no certificate of an upstream can be verified; set apisix.ssl.ssl_trusted_certificate");
    }
    upstreams.configure(RegistryOptions { roots, ..options::upstreams(settings) });
    let flow = background.block_on(source.open(settings, &plugins, &shared))?;
    tell_health(&shared, &upstreams, &settings.deployment.etcd.prefix);
    background.spawn(upstreams.run(dns(settings)));

    let workers =
        settings.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let mut proxies = Vec::new();
    for _ in 0..workers {
        let mut own = Vec::new();
        for addr in &settings.listen.addresses {
            own.push(bind(*addr, true, "apisix.node_listen")?);
        }
        proxies.push(own);
    }
    let access_log = match &settings.access_log {
        None => None,
        Some(log) => Some(Arc::new(
            AccessLog::open(&log_path(settings, &log.path), &log.format, options::escape(log.escape))
                .with_context(|| format!("cannot open the access log {}", log.path))?,
        )),
    };
    let stop = Arc::new(Stop::default());
    let census = Arc::new(Census::default());
    let apis = start_apis(settings, &source, &flow, &stop)?;
    let mut threads = Vec::new();
    for (index, listeners) in proxies.into_iter().enumerate() {
        let worker = Worker {
            flow: flow.clone(),
            options: options::options(settings),
            dns: dns(settings),
            access_log: access_log.clone(),
            stop: stop.clone(),
            census: census.clone(),
            drain_timeout: settings.drain_timeout,
        };
        threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run(listeners))?);
    }
    announce(settings, &source, apis.made_key.as_deref())?;
    let mut reload = Reload::new(run.config.clone(), read.written, sink.clone(), apis.admin);
    background.block_on(wait_for_the_end(signals, &sink, access_log.as_deref(), &mut reload));
    stop.begin();
    for thread in threads.into_iter().chain(apis.threads) {
        if thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
    if let Some(log) = &access_log {
        log.flush();
    }
    Ok(())
}

fn warn_of_unknown_plugins(settings: &Settings, plugins: &PluginSet) {
    let unknown = settings.plugins.iter().flatten().filter(|name| plugins.get(name).is_none());
    let names: Vec<&str> = unknown.map(String::as_str).collect();
    if !names.is_empty() {
        tracing::warn!(plugins = names.join(", "), "plugins in the settings that this version does not have");
    }
}

/// Lets exporters see what health checks see.
fn tell_health(shared: &Shared, upstreams: &Arc<Registry>, prefix: &str) {
    let (upstreams, prefix) = (upstreams.clone(), prefix.to_owned());
    shared.stats.health.provide(move || {
        let checked = upstreams.all_targets().into_iter();
        let nodes = checked.flat_map(|(owner, targets)| {
            let upstream = format!("{prefix}{owner}");
            targets.into_iter().map(move |target| NodeStatus {
                upstream: upstream.clone(),
                ip: target.shown_host(),
                port: target.port,
                is_usable: target.is_usable(),
            })
        });
        nodes.collect()
    });
}

fn bind(addr: SocketAddr, share: bool, setting: &str) -> anyhow::Result<Listener> {
    engine::bind(addr, share).with_context(|| format!("cannot listen on {addr} ({setting})"))
}

fn log_path(settings: &Settings, path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() { path.to_owned() } else { settings.data_dir.join(path) }
}

fn dns(settings: &Settings) -> DnsOptions {
    DnsOptions {
        servers: settings.dns.servers.iter().filter_map(|text| name_server(text)).collect(),
        resolv_conf: None,
        valid: settings.dns.valid,
        timeout: settings.dns.timeout,
    }
}

/// Tells all threads to end.
#[derive(Default)]
struct Stop(AtomicBool);

impl Stop {
    fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Worker {
    flow: Arc<Flow>,
    options: gateway::exchange::Options,
    dns: DnsOptions,
    access_log: Option<Arc<AccessLog>>,
    stop: Arc<Stop>,
    census: Arc<Census>,
    drain_timeout: Duration,
}

impl Worker {
    fn run(self, listeners: Vec<Listener>) {
        let access_log = self.access_log.clone();
        let census = self.census.clone();
        let limits = self.options.limits.clone();
        local(&self.stop.clone(), self.drain_timeout, self.census, limits, listeners, || {
            let shared = self.flow.shared().clone();
            let resolver = Rc::new(Resolver::new(self.dns));
            let options = Rc::new(self.options);
            let edge = Edge::new(self.flow, options, resolver, self.access_log, shared.clone());
            let pool = edge.pool.clone();
            let mut ticks = 0u32;
            let census = census.clone();
            let tick = move || {
                publish(&census, &shared.stats);
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(10) {
                    pool.sweep();
                    if let Some(log) = &access_log {
                        log.flush();
                    }
                }
            };
            (edge, tick)
        });
    }
}

/// Exporters read the gateway's counters; the engine keeps its own.
fn publish(census: &Census, stats: &plugin::Stats) {
    let accepted = census.accepted.load(Ordering::Relaxed);
    let active = census.active.load(Ordering::Relaxed);
    stats.accepted.store(accepted, Ordering::Relaxed);
    stats.handled.store(accepted.saturating_sub(census.refused.load(Ordering::Relaxed)), Ordering::Relaxed);
    stats.active.store(active, Ordering::Relaxed);
}

/// Runs a service on the calling thread until the end, then lets open requests finish.
fn local<S: Service, T: FnMut()>(
    stop: &Arc<Stop>,
    drain_timeout: Duration,
    census: Arc<Census>,
    limits: Limits,
    listeners: Vec<Listener>,
    make: impl FnOnce() -> (Rc<S>, T),
) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a worker cannot start"),
    };
    runtime.block_on(async {
        let (service, mut tick) = make();
        let drain = Rc::new(Drain::default());
        if let Err(error) = engine::serve(listeners, service, Rc::new(limits), drain.clone(), census) {
            return tracing::error!(%error, "a worker cannot listen");
        }
        while !stop.has_begun() {
            tokio::time::sleep(TICK).await;
            tick();
        }
        drain.begin();
        let until = Instant::now() + drain_timeout;
        while drain.open() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if drain.open() > 0 {
            tracing::warn!(connections = drain.open(), "the time to finish is over, open connections are cut");
        }
    });
}

/// The threads that serve our own APIs.
struct Apis {
    threads: Vec<JoinHandle<()>>,
    admin: Option<Arc<AdminApi<Live>>>,
    made_key: Option<PathBuf>,
}

fn start_apis(settings: &Settings, source: &Source, flow: &Arc<Flow>, stop: &Arc<Stop>) -> anyhow::Result<Apis> {
    let options = options::options(settings);
    let live = Arc::new(Live { flow: flow.clone(), awaits_first: source.awaits_first(), options });
    let server = options::options(settings).server;
    let mut threads = Vec::new();
    let mut made_key = None;
    let mut served_admin = None;
    let admin_limits = Limits { request_body: None, ..options::limits(settings) };
    let attr = settings.plugin_attr.get("prometheus").cloned().unwrap_or_default();
    let export_uri = attr.get("export_uri").and_then(Value::as_str);
    let control =
        Arc::new(ControlApi::new(live.clone(), admin::plugin_schemas, export_uri, &settings.deployment.etcd.prefix));
    if settings.admin.is_enabled {
        made_key = needs_key(settings).then(|| key_path(settings));
        let api = Arc::new(AdminApi::new(live, admin_settings(settings)?));
        served_admin = Some(api.clone());
        let listener = bind(settings.admin.listen.0, false, "deployment.admin.admin_listen")?;
        let service = AdminService(api);
        threads.push(spawn_api("admin", listener, service, &server, &admin_limits, stop)?);
    }
    let endpoints = [
        ("control", settings.control.as_ref().map(|e| e.0), Face::Control),
        ("status", settings.status.as_ref().map(|e| e.0), Face::Status),
        ("export", export_addr(&attr, &flow.plugins()), Face::Export),
    ];
    for (name, addr, face) in endpoints {
        let Some(addr) = addr else { continue };
        let listener = bind(addr, false, name)?;
        let service = ControlService { api: control.clone(), face };
        threads.push(spawn_api(name, listener, service, &server, &admin_limits, stop)?);
    }
    Ok(Apis { threads, admin: served_admin, made_key })
}

/// Whom the Admin API lets in; a key is made where one is asked for and none is written.
///
/// # Errors
/// The made key cannot be read or written.
pub(crate) fn admin_settings(settings: &Settings) -> anyhow::Result<admin::Settings> {
    let made = match needs_key(settings) {
        true => Some(admin::keys::load_or_create(&key_path(settings))?.0),
        false => None,
    };
    Ok(admin::Settings::read(settings, made))
}

fn needs_key(settings: &Settings) -> bool {
    settings.admin.keys.is_empty() && settings.admin.key_required
}

fn key_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("admin.key")
}

fn spawn_api<A: Api + Send>(
    name: &str,
    listener: Listener,
    api: A,
    server: &str,
    limits: &Limits,
    stop: &Arc<Stop>,
) -> anyhow::Result<JoinHandle<()>> {
    let (limits, stop, server) = (limits.clone(), stop.clone(), server.to_owned());
    let thread = std::thread::Builder::new().name(name.to_owned());
    Ok(thread.spawn(move || {
        // Connections of our own APIs are not counted among the proxy's.
        let census = Arc::new(Census::default());
        local(&stop, Duration::from_secs(5), census, limits, vec![listener], || {
            (Rc::new(ApiService { api, server }), || {})
        });
    })?)
}

/// Where metrics are served: on by default, as in APISIX, when the plugin that exports them is enabled.
fn export_addr(attr: &Value, plugins: &PluginSet) -> Option<SocketAddr> {
    let is_on = attr.get("enable_export_server").and_then(Value::as_bool).unwrap_or(true);
    let has_exporter = plugins.iter().any(|plugin| plugin.description.export.is_some());
    let field = |name: &str| attr.get("export_addr").and_then(|addr| addr.get(name));
    let ip = field("ip").and_then(Value::as_str).unwrap_or("127.0.0.1").parse().ok()?;
    let port = field("port").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()).unwrap_or(9091);
    (is_on && has_exporter).then_some(SocketAddr::new(ip, port))
}

struct AdminService(Arc<AdminApi<Live>>);

impl Api for AdminService {
    fn max_body(&self) -> usize {
        self.0.max_body()
    }

    fn admit(&self, call: &Call) -> Result<(), Reply> {
        self.0.admit(call)
    }

    async fn answer(&self, call: Call) -> Reply {
        self.0.handle(call).await
    }

    fn bad_body(&self, error: &BodyError) -> Reply {
        Reply::json(400, &json!({ "error_msg": format!("invalid request body: {error}") }))
            .with("Content-Type", b"application/json")
    }
}

#[derive(Clone, Copy)]
enum Face {
    Control,
    Status,
    Export,
}

struct ControlService {
    api: Arc<ControlApi<Live>>,
    face: Face,
}

impl Api for ControlService {
    fn max_body(&self) -> usize {
        64 << 10
    }

    async fn answer(&self, call: Call) -> Reply {
        match self.face {
            Face::Control => self.api.handle(control::Request {
                method: &call.method,
                path: &call.path,
                accept: call.fields.get("accept"),
                body: &call.body,
            }),
            Face::Status => self.api.status(&call.path),
            Face::Export => self.api.export(&call.method, &call.path),
        }
    }

    fn bad_body(&self, _: &BodyError) -> Reply {
        Reply::status(400)
    }
}

/// Says where it listens, where the admin key is, and how the first protected route is made.
fn announce(settings: &Settings, source: &Source, made_key: Option<&Path>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let proxy = settings.listen.addresses.first().map_or_else(String::new, |addr| match addr.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{}", addr.port()),
        _ => addr.to_string(),
    });
    writeln!(out, "portcullis {} is ready", env!("CARGO_PKG_VERSION"))?;
    let addresses: Vec<String> = settings.listen.addresses.iter().map(ToString::to_string).collect();
    writeln!(out, "  proxy      {}", addresses.join(", "))?;
    if settings.admin.is_enabled {
        writeln!(out, "  Admin API  {}", settings.admin.listen.0)?;
    }
    if let Source::File(path, _) = source {
        writeln!(out, "  routes     {}", path.display())?;
    }
    writeln!(out, "  data       {}", settings.data_dir.display())?;
    if let Some(path) = made_key {
        let admin = settings.admin.listen.0;
        let path = path.display();
        writeln!(out, "  admin key  {path}")?;
        writeln!(out, "\nProtect an API that listens on 127.0.0.1:8000:")?;
        if matches!(source, Source::Pushed) {
            writeln!(
                out,
                "  curl -H \"X-API-KEY: $(cat {path})\" -H 'X-Digest: 1' -X PUT http://{admin}/apisix/admin/configs \
                 -d '{{\"consumers\":[{{\"username\":\"alice\",\"plugins\":{{\"key-auth\":{{\"key\":\"alices-key\"}}}}}}],\
                 \"routes\":[{{\"id\":\"1\",\"uri\":\"/*\",\"plugins\":{{\"key-auth\":{{}}}},\
                 \"upstream\":{{\"nodes\":{{\"127.0.0.1:8000\":1}}}}}}]}}'"
            )?;
        } else {
            writeln!(
                out,
                "  curl -H \"X-API-KEY: $(cat {path})\" -X PUT http://{admin}/apisix/admin/consumers \
             -d '{{\"username\":\"alice\",\"plugins\":{{\"key-auth\":{{\"key\":\"alices-key\"}}}}}}'"
            )?;
            writeln!(
                out,
                "  curl -H \"X-API-KEY: $(cat {path})\" -X PUT http://{admin}/apisix/admin/routes/1 \
             -d '{{\"uri\":\"/*\",\"plugins\":{{\"key-auth\":{{}}}},\"upstream\":{{\"nodes\":{{\"127.0.0.1:8000\":1}}}}}}'"
            )?;
        }
        writeln!(out, "  curl -H 'apikey: alices-key' http://{proxy}/")?;
    }
    out.flush()?;
    Ok(())
}

/// The signals that we act on.
struct Signals {
    term: Signal,
    quit: Signal,
    interrupt: Signal,
    reload: Signal,
    reopen: Signal,
    /// Caught and not asked for: a limit on the size of files is a failed write then, and not the end of the process.
    _file_size: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            _file_size: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }
}

async fn wait_for_the_end(mut signals: Signals, sink: &Sink, access_log: Option<&AccessLog>, reload: &mut Reload) {
    loop {
        tokio::select! {
            _ = signals.term.recv() => return,
            _ = signals.quit.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.reload.recv() => reload.run(),
            _ = signals.reopen.recv() => {
                sink.reopen();
                if let Some(log) = access_log
                    && let Err(error) = log.reopen()
                {
                    tracing::error!(%error, "the access log cannot be opened again");
                }
            }
        }
    }
}
