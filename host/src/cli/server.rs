//! `herald server`: runs the webhook until a signal ends it.

use std::{
    convert::Infallible,
    env,
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use clap::builder::BoolishValueParser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use self::compiler::compiler;
use super::{Globals, called::Name, policy::compile};
use crate::{
    config::{Config, ConfigError, Reloader, Shared, reload::Overrides},
    observe::{AuditLog, Metrics},
    provider::{
        Cloud,
        alibaba::{InvalidName, Region},
        aws::Partition,
    },
    server::{self, Keeper, Services},
};

mod compiler;

/// The variable of ack-ram-authenticator that names a region.
const REGION_VARIABLE: &str = "STS_REGION";

/// File descriptors that the server asks the system for beside those of `maxConnections`, if it may have as many: files,
/// calls to clouds, and whoever asks for health. Peers that hold every connection must leave them.
const FILES: u64 = 7168;

/// Longest wait for the last audit lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Longest wait for what this process holds in the cluster to be given back.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// Longest wait for what is under way besides requests.
const UNFINISHED: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  herald server --config herald.yaml
  herald server --config herald.yaml --backend-mode CRD,MountedFile
  herald server -i my-cluster --backend-mode EKSConfigMap --kubeconfig /etc/herald/source.kubeconfig";

/// Answer TokenReviews from the Kubernetes API server.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// IP address to listen on [default: 127.0.0.1].
    #[arg(long)]
    pub address: Option<IpAddr>,
    /// Of no use here: existing manifests have it, and the program that they were for never read it.
    #[arg(short, long, hide = true, value_name = "ADDRESS")]
    pub bind: Option<String>,
    /// Sources of mappings, in the order in which they are asked [default: MountedFile].
    #[arg(long, value_delimiter = ',')]
    pub backend_mode: Option<Vec<String>>,
    /// Most DescribeInstances calls at once.
    #[arg(long = "ec2-describeInstances-burst", value_name = "CALLS")]
    pub ec2_describe_instances_burst: Option<u32>,
    /// Most DescribeInstances calls a second.
    #[arg(long = "ec2-describeInstances-qps", value_name = "CALLS")]
    pub ec2_describe_instances_qps: Option<u32>,
    /// Where to write the webhook kubeconfig [default: /etc/kubernetes/herald/kubeconfig.yaml, or in the folder of
    /// the old name that Herald is called by].
    #[arg(long)]
    pub generate_kubeconfig: Option<PathBuf>,
    /// Kubeconfig for the cluster whose objects are read [default: the pod's own account].
    #[arg(long, value_parser = path_or_nothing)]
    pub kubeconfig: Option<PathBuf>,
    /// Leave the webhook kubeconfig alone, it is in place already.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub kubeconfig_pregenerated: Option<bool>,
    /// URL of the API server whose objects are read, over what the kubeconfig says.
    #[arg(long)]
    pub master: Option<String>,
    /// TCP port of 127.0.0.1 for health in plain HTTP [default: 21363].
    #[arg(long)]
    pub health_port: Option<u16>,
    /// TCP port of 127.0.0.1 for metrics in plain HTTP [default: 21364].
    #[arg(long)]
    pub metrics_port: Option<u16>,
    /// Region whose STS of Alibaba Cloud is asked, inside its own network [default: the file's, else that of the variable
    /// STS_REGION, else the global one].
    #[arg(long)]
    pub region: Option<String>,
    /// AWS partition of this cluster [default: aws].
    #[arg(long)]
    pub partition: Option<Partition>,
    /// TCP port to listen on [default: 21362].
    #[arg(long)]
    pub port: Option<u16>,
    /// Folder of `cert.pem` and `key.pem` [default: /var/herald, or /var/ and the old name that Herald is called by].
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

/// The signals that end the server. They are heard from before the first thing that takes long: the first process of a
/// container gets no signal that it does not ask for (pid_namespaces(7)).
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Command ===

impl Command {
    /// Serves until SIGTERM or SIGINT, and then until what is under way is answered; while policies still load, that is at
    /// once. A second signal ends the process at once, with exit code 1. SIGHUP opens the audit log anew and reads the configuration
    /// again, once policies are loaded.
    ///
    /// # Errors
    ///
    /// At the start only: a configuration that does not load, a certificate that is not usable, a port that
    /// is taken. Nothing later ends the server.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<()> {
        if let Some(line) = globals.name.start_line() {
            // Nobody has to read it.
            let _ = writeln!(out, "{line}");
        }
        if self.bind.is_some() {
            tracing::warn!("--bind has no effect: use --address");
        }
        let overrides = self.overrides(globals);
        let mut config = globals.load()?;
        overrides(&mut config)?;
        super::cluster_id(&config)?;
        let old_names = config.server.metrics.old_names.then(|| globals.name.metrics());
        let metrics = Arc::new(Metrics::new(old_names));
        let compiled = config.server.state_dir.join(compile::FOLDER);
        let runtime = runtime(&config.server)?;
        let entered = runtime.enter();
        let mut ends = Ends::listen()?;
        // It ends a process that does not ask for it, and until there is something to reload it waits: as one.
        let hang_up = signal(SignalKind::hangup())?;
        let shared = Shared::new(&config, Arc::clone(&metrics), Some(compiled), super::now)?
            .compiling(compiler(config.server.state_dir.clone()));
        drop(entered);
        let build = runtime.spawn_blocking(move || (config.build_first(&shared), config, shared));
        let built = runtime.block_on(async {
            tokio::select! {
                built = build => Some(built),
                () = ends.one() => None,
            }
        });
        let Some(built) = built else {
            tracing::info!("stopped before the first login: policies were still loading");
            // What compiles for this process ends with it.
            runtime.shutdown_background();
            return Ok(());
        };
        let (first, config, shared) = built?;
        let first = first?;
        let audit = Arc::new(AuditLog::start(&config.observe.audit, Arc::clone(&metrics))?);
        let beside = Arc::clone(&audit);
        shared.shadows().report_to(Arc::new(move |report| beside.record_aside(report).is_ok()));
        let settings = config.server.clone();
        let stopping = shared.stopping();
        let served = runtime.block_on(async {
            let reloader = Arc::new(Reloader::start(config, shared, first, overrides, super::now));
            let services = Services {
                authenticator: reloader.current(),
                audit,
                metrics,
                readiness: Arc::default(),
                reload_error: reloader.last_error(),
                compiling: reloader.compiling(),
            };
            let trigger = Arc::clone(&reloader);
            let served = serve(settings, globals.name, services, (ends, hang_up), move || trigger.trigger()).await;
            stopping.stop(GIVE_BACK).await;
            // Until here, since with it those end who have something to give back.
            drop(reloader);
            served
        });
        runtime.shutdown_timeout(UNFINISHED);
        served
    }

    /// Puts the options over what a configuration file says.
    fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let server = &mut config.server;
        server.address = self.address.unwrap_or(server.address);
        server.port = self.port.unwrap_or(server.port);
        server.health.port = self.health_port.unwrap_or(server.health.port);
        server.metrics.port = self.metrics_port.unwrap_or(server.metrics.port);
        server.kubeconfig_pregenerated = self.kubeconfig_pregenerated.unwrap_or(server.kubeconfig_pregenerated);
        if let Some(path) = &self.generate_kubeconfig {
            server.generate_kubeconfig.clone_from(path);
        }
        if let Some(path) = &self.state_dir {
            server.state_dir.clone_from(path);
        }
        if let Some(path) = &self.kubeconfig {
            config.kubernetes.kubeconfig = Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        }
        if let Some(url) = &self.master {
            config.kubernetes.master = Some(url.clone()).filter(|url| !url.is_empty());
        }
        config.partition = self.partition.unwrap_or(config.partition);
        config.serving = true;
        config.ec2.qps = self.ec2_describe_instances_qps.unwrap_or(config.ec2.qps);
        config.ec2.burst = self.ec2_describe_instances_burst.unwrap_or(config.ec2.burst);
        config.check_ec2()?;
        if config.clouds().contains(&Cloud::Alibaba) {
            let region = self.region_over(config.alibaba.region.take(), env::var(REGION_VARIABLE).ok().as_deref());
            config.alibaba.region = region.map_err(|what| ConfigError::Build { file: config.file.clone(), what })?;
        }
        self.backend_mode.as_deref().map_or(Ok(()), |modes| config.set_backend_mode(modes))
    }

    /// The region of the option, else `of_file`, else that of the `variable`, which existing manifests set beside files that
    /// name another.
    fn region_over(&self, of_file: Option<Region>, variable: Option<&str>) -> Result<Option<Region>, String> {
        let parse = |whose: &str, text: &str| {
            let region = text.parse::<Region>().map(Some);
            region.map_err(|error: InvalidName| format!("{whose}: {error}"))
        };
        match (super::given(self.region.as_deref()), of_file, super::given(variable)) {
            (Some(region), ..) => parse("--region", &region),
            (None, Some(region), _) => Ok(Some(region)),
            (None, None, Some(region)) => parse(REGION_VARIABLE, &region),
            (None, None, None) => Ok(None),
        }
    }

    fn overrides(&self, globals: &Globals) -> Overrides {
        let (command, globals) = (self.clone(), globals.clone());
        Arc::new(move |config| {
            globals.apply(config);
            command.apply(config)
        })
    }
}

// === impl Ends ===

impl Ends {
    /// Needs a tokio runtime.
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    async fn one(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the first one, and watches for the second from then on.
    async fn first(mut self) {
        self.one().await;
        tracing::info!("stopping: answering what is under way; a second signal ends this at once");
        tokio::spawn(async move {
            self.one().await;
            tracing::warn!("second signal: ending at once");
            std::process::exit(1);
        });
    }
}

/// Existing manifests give an empty path for "none".
fn path_or_nothing(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.into())
}

fn runtime(config: &server::Config) -> anyhow::Result<Runtime> {
    // Before anything is started.
    config.check()?;
    Ok(Builder::new_multi_thread().worker_threads(config.workers).enable_all().build()?)
}

async fn serve(
    config: server::Config,
    name: Name,
    services: Services,
    (ends, hang_up): (Ends, Signal),
    reload: impl Fn() + Send + 'static,
) -> anyhow::Result<()> {
    raise_limits(&config);
    let (keeper, listener, config) = prepare(config, name, super::now()).await?;
    let served = keeper.served();
    let keeper = tokio::spawn(keeper.run(super::now, Arc::clone(&services.metrics)));
    let audit = Arc::clone(&services.audit);
    let hang_up = tokio::spawn(on_hang_up(hang_up, Arc::clone(&audit), reload));
    let grace = config.shutdown_grace;
    let drained = server::serve(listener, config, served, services, ends.first()).await?;
    hang_up.abort();
    keeper.abort();
    tokio::task::spawn_blocking(move || audit.flush(LAST_LINES)).await?;
    match drained.cut {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!(cut, grace = ?grace, "stopped with requests under way: the grace period is over"),
    }
    Ok(())
}

/// Everything that can fail, before the first request. The port comes first: a second server on it touches no file of the one
/// that has it, and the kubeconfig names the one in use.
async fn prepare(
    mut config: server::Config,
    name: Name,
    now: SystemTime,
) -> Result<(Keeper, TcpListener, server::Config), server::Error> {
    config.client_auth.check()?;
    let listener = server::bind(&config).await?;
    if let Ok(address) = listener.local_addr() {
        config.port = address.port();
    }
    let keeper = Keeper::open(&config, now)?;
    keeper.write_kubeconfig(now)?;
    announce(&config, name, &keeper);
    Ok((keeper, listener, config))
}

fn announce(config: &server::Config, name: Name, keeper: &Keeper) {
    let pair = if keeper.is_new() {
        "made a new certificate and key"
    } else {
        "using the certificate and key that were there"
    };
    let end = keeper.served().validity().map(|validity| humantime::format_rfc3339_seconds(validity.end).to_string());
    tracing::info!(folder = %config.state_dir.display(), end, "{pair}");
    tracing::info!("{}", hint(config, name));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), url = config.webhook_url(), "listening on {}", address(config));
}

/// What is left to do for whoever sets the cluster up. Scripts look for the line of an old name.
fn hint(config: &server::Config, name: Name) -> String {
    let flag = format!("`--authentication-token-webhook-config-file={}`", config.generate_kubeconfig.display());
    if name.is_old() {
        return format!("reconfigure your apiserver with {flag} to enable (assuming default hostPath mounts)");
    }
    format!("start kube-apiserver with {flag} (assuming default hostPath mounts)")
}

fn address(config: &server::Config) -> std::net::SocketAddr {
    (config.address, config.port).into()
}

async fn on_hang_up(mut signal: Signal, audit: Arc<AuditLog>, reload: impl Fn()) {
    while signal.recv().await.is_some() {
        audit.reopen();
        reload();
    }
}

/// Enough file descriptors. Best effort: a system that forbids it is not a reason to let nobody in.
fn raise_limits(config: &server::Config) {
    let files = getrlimit(Resource::Nofile);
    let wanted = files_for(config).min(files.maximum.unwrap_or(u64::MAX));
    if files.current.is_some_and(|current| current < wanted) {
        let more = Rlimit { current: Some(wanted), maximum: files.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, more) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
}

/// How many are wanted.
fn files_for(config: &server::Config) -> u64 {
    FILES + config.max_connections as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::{observe::audit::Output, server::fixtures::services};

    const LONG: Duration = Duration::from_secs(60);

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }

    #[track_caller]
    fn applied(arguments: &[&str]) -> server::Config {
        let cli = Cli::try_parse_from([&["herald"], arguments].concat()).unwrap();
        let mut config = Config::default();
        cli.command.apply(&mut config).unwrap();
        config.server
    }

    #[test]
    fn options_go_over_the_file() {
        assert_eq!(applied(&[]), server::Config::default());
        let config = applied(&[
            "--state-dir=/var/heptio-authenticator-aws",
            "--generate-kubeconfig=/etc/kubernetes/heptio-authenticator-aws/kubeconfig.yaml",
            "--kubeconfig-pregenerated",
            "--address=::",
            "--port",
            "0",
            "--backend-mode=MountedFile",
            "--ec2-describeInstances-qps=15",
        ]);
        assert_eq!(config.state_dir, Path::new("/var/heptio-authenticator-aws"));
        assert_eq!(config.generate_kubeconfig, Path::new("/etc/kubernetes/heptio-authenticator-aws/kubeconfig.yaml"));
        assert!(config.kubeconfig_pregenerated);
        assert_eq!(config.address, "::".parse::<IpAddr>().unwrap());
        assert_eq!(config.port, 0);
        for (word, expected) in
            [("true", true), ("True", true), ("1", true), ("false", false), ("F", false), ("0", false)]
        {
            let option = format!("--kubeconfig-pregenerated={word}");
            assert_eq!(applied(&[option.as_str()]).kubeconfig_pregenerated, expected, "{word}");
        }
        assert_eq!(applied(&["-b", "10.0.0.1"]), server::Config::default());
        assert_eq!(applied(&["--bind=0.0.0.0"]), server::Config::default());
    }

    #[test]
    fn options_say_where_the_objects_of_sources_are() {
        #[track_caller]
        fn check(arguments: &[&str], kubeconfig: Option<&str>, master: Option<&str>) {
            let cli = Cli::try_parse_from([&["herald"], arguments].concat()).unwrap();
            let mut config = Config::default();
            config.kubernetes.kubeconfig = Some("/of/the/file".into());
            cli.command.apply(&mut config).unwrap();
            let found = (config.kubernetes.kubeconfig.as_deref(), config.kubernetes.master.as_deref());
            assert_eq!(found, (kubeconfig.map(Path::new), master), "{arguments:?}");
        }
        check(&[], Some("/of/the/file"), None);
        check(&["--kubeconfig=/k", "--master", "https://m"], Some("/k"), Some("https://m"));
        check(&["--kubeconfig=", "--master="], None, None);
    }

    #[test]
    fn a_region_is_the_options_else_the_files_else_the_variables() {
        #[track_caller]
        fn check(arguments: &[&str], of_file: &str, variable: &str, expected: Result<&str, &str>) {
            let cli = Cli::try_parse_from([&["herald"], arguments].concat()).unwrap();
            let found = cli.command.region_over(of_file.parse().ok(), Some(variable));
            let words = found.as_ref().map(|region| region.as_ref().map_or("", Region::as_str));
            assert_eq!(words.map_err(String::as_str), expected, "{arguments:?} {of_file} {variable}");
        }
        let (beijing, none): (&[&str], &[&str]) = (&["--region", "cn-beijing"], &["--region", ""]);
        check(beijing, "cn-hangzhou", "cn-shanghai", Ok("cn-beijing"));
        check(beijing, "", "", Ok("cn-beijing"));
        check(none, "cn-hangzhou", "cn-shanghai", Ok("cn-hangzhou"));
        check(&[], "cn-hangzhou", "", Ok("cn-hangzhou"));
        check(none, "", "cn-shanghai", Ok("cn-shanghai"));
        check(&[], "", " ", Ok(""));
        check(beijing, "", "No Region", Ok("cn-beijing"));
        check(&[], "cn-hangzhou", "No Region", Ok("cn-hangzhou"));
        check(&[], "", "No Region", Err("STS_REGION: not a region such as cn-hangzhou"));
        check(&["--region", "Mars"], "cn-hangzhou", "", Err("--region: not a region such as cn-hangzhou"));
    }

    #[test]
    fn a_name_is_no_address() {
        let error = Cli::try_parse_from(["herald", "--address=localhost"]).err().expect("a name is no IP");
        assert!(error.to_string().contains("invalid IP address"), "{error}");
    }

    #[tokio::test]
    async fn the_kubeconfig_names_the_port_in_use_unless_it_is_pregenerated() {
        let folder = tempfile::tempdir().unwrap();
        let config = server::Config {
            port: 0,
            state_dir: folder.path().join("state"),
            generate_kubeconfig: folder.path().join("deep/kubeconfig.yaml"),
            ..server::Config::default()
        };
        #[expect(clippy::disallowed_methods, reason = "a test of the edge")]
        let now = SystemTime::now();
        let (_, listener, prepared) = prepare(config.clone(), Name::Herald, now).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = std::fs::read_to_string(&prepared.generate_kubeconfig).unwrap();
        assert!(text.contains(&format!("https://localhost:{port}/authenticate")), "{text}");
        let flag = format!("`--authentication-token-webhook-config-file={}`", prepared.generate_kubeconfig.display());
        assert!(hint(&prepared, Name::Herald).contains(&flag));
        let old = hint(&prepared, Name::AwsIamAuthenticator);
        let expected = format!("reconfigure your apiserver with {flag} to enable (assuming default hostPath mounts)");
        assert_eq!(old, expected);

        std::fs::write(&prepared.generate_kubeconfig, "mine").unwrap();
        let certificate = std::fs::read(prepared.state_dir.join("cert.pem")).unwrap();
        let again = server::Config { kubeconfig_pregenerated: true, ..config };
        let (keeper, ..) = prepare(again, Name::Herald, now).await.unwrap();
        assert!(!keeper.is_new());
        assert_eq!(std::fs::read(&prepared.generate_kubeconfig).unwrap(), b"mine");
        assert_eq!(std::fs::read(prepared.state_dir.join("cert.pem")).unwrap(), certificate);
    }

    /// As a new pod under another name that waits for the old one to end, or somebody who tries it by hand: clients would be
    /// shown a certificate for its names.
    #[tokio::test]
    async fn a_second_server_on_the_port_touches_no_file_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let config = server::Config {
            port: 0,
            state_dir: folder.path().join("state"),
            generate_kubeconfig: folder.path().join("kubeconfig.yaml"),
            ..server::Config::default()
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (_keeper, _listener, first) = prepare(config, Name::Herald, now).await.unwrap();
        let files = || {
            [first.state_dir.join("cert.pem"), first.generate_kubeconfig.clone()].map(std::fs::read).map(Result::unwrap)
        };
        let before = files();
        let second = server::Config { hostname: "herald.example.com".parse().unwrap(), ..first.clone() };
        let refused = prepare(second, Name::Herald, now).await.err().expect("the port is taken");
        assert!(matches!(refused, server::Error::Bind { .. }), "{refused}");
        assert_eq!(files(), before);
    }

    #[test]
    fn peers_that_hold_every_connection_leave_file_descriptors() {
        for (max_connections, files) in [(1024, 8192), (20_000, 27_168), (65_536, 72_704)] {
            let config = server::Config { max_connections, ..server::Config::default() };
            assert_eq!(files_for(&config), files, "{max_connections}");
        }
    }

    #[test]
    fn as_many_threads_answer_logins_as_are_configured() {
        #[track_caller]
        fn check(yaml: &str, expected: Result<usize, &str>) {
            let config: server::Config = serde_saphyr::from_str(yaml).unwrap();
            let workers = runtime(&config).map(|runtime| runtime.metrics().num_workers());
            assert_eq!(workers.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{yaml}");
        }
        check("{workers: 1}", Ok(1));
        check("{workers: 3}", Ok(3));
        let half = std::thread::available_parallelism().unwrap().get().div_ceil(2);
        check("{}", Ok(half));
        check("{workers: 0}", Err("server.workers must be from 1 to 256, not 0"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn signals_reload_and_stop() {
        let folder = tempfile::tempdir().unwrap();
        let config = server::Config {
            port: free_port().await,
            state_dir: folder.path().to_owned(),
            generate_kubeconfig: folder.path().join("kubeconfig.yaml"),
            ..server::Config::default()
        };
        let address = address(&config);
        let services = services(Output::File(folder.path().join("audit.log")));
        let (reloaded, mut reloads) = tokio::sync::mpsc::unbounded_channel();
        let signals = (Ends::listen().unwrap(), signal(SignalKind::hangup()).unwrap());
        let send = |signal| rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
        for _ in 0..3 {
            send(rustix::process::Signal::HUP);
        }
        let server = tokio::spawn(serve(config, Name::Herald, services, signals, move || reloaded.send(()).unwrap()));
        answers(address).await;
        tokio::time::timeout(LONG, reloads.recv()).await.expect("what came during the start reloads").unwrap();
        assert!(reloads.try_recv().is_err(), "once");
        send(rustix::process::Signal::HUP);
        tokio::time::timeout(LONG, reloads.recv()).await.expect("SIGHUP reloads").unwrap();
        send(rustix::process::Signal::TERM);
        tokio::time::timeout(LONG, server).await.expect("SIGTERM stops").unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    async fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    /// Waits until the server says so itself that this is no TLS, and so has its signals in hand.
    async fn answers(address: std::net::SocketAddr) {
        let answer = async {
            let mut stream = loop {
                match TcpStream::connect(address).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let _ = stream.read(&mut [0; 16]).await;
        };
        tokio::time::timeout(LONG, answer).await.expect("the server answers");
    }
}
