//! A world to measure in: one scratch folder, and for each target a dev STS and a place to run.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::TempDir;
use tests::sts::{self, Behaviour, Options};

use crate::{
    binaries::Binaries,
    output,
    target::{
        Place, Running, Target,
        config::{MapKind, Mappings},
    },
};

/// What all subcommands that start targets have in common.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "world")]
pub(crate) struct Arguments {
    /// Targets, in turn within each repeat; none: those that the subcommand is about.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) targets: Vec<Target>,
    /// Entries of the mapping table.
    #[arg(long, default_value_t = 10)]
    pub(crate) entries: u64,
    /// What the mapping table is made of.
    #[arg(long, value_enum, default_value = "role")]
    pub(crate) map_kind: MapKind,
    /// Roles that the tokens are spread over; 0: as many as entries.
    #[arg(long, default_value_t = 0)]
    pub(crate) roles: u64,
    /// CPUs for the targets, comma-separated; none: all.
    #[arg(long, value_delimiter = ',')]
    pub(crate) server_cpus: Vec<usize>,
    /// The dev STS offers HTTP/2.
    #[arg(long)]
    pub(crate) sts_h2: bool,
    /// The dev STS checks signatures for real; that costs CPU time of its own beside the target's.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Measure `herald`, `floor` and `floor-token` in this folder instead of building them, with the components of policies
    /// (`session-groups.wasm`, `hostile.wasm`, …) that are there too.
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
    /// Write all results as JSON to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// Targets with their dev STS, not yet started.
pub(crate) struct World {
    /// Deleted with the world; a state folder for each target is in it.
    _scratch: TempDir,
    sites: Vec<Site>,
    /// How many roles the tokens are spread over.
    pub(crate) roles: u64,
}

/// One target's surroundings.
pub(crate) struct Site {
    /// The target.
    pub(crate) target: Target,
    /// Its own dev STS, so that its connections are counted apart.
    pub(crate) sts: sts::Running,
    /// Where it runs.
    pub(crate) place: Place,
}

// === impl World ===

impl World {
    /// Builds the binaries, makes the scratch folder and starts a dev STS for each target; `otherwise` are the targets if
    /// `arguments` name none.
    ///
    /// # Errors
    ///
    /// When something cannot be built, written or bound.
    pub(crate) async fn new(arguments: &Arguments, otherwise: &[Target]) -> anyhow::Result<Self> {
        let binaries = Binaries::find_or_build(arguments.binaries.as_deref())?;
        let targets = if arguments.targets.is_empty() { otherwise } else { &arguments.targets };
        Self::with_binaries(&Arguments { targets: targets.to_vec(), ..arguments.clone() }, &binaries).await
    }

    /// As [`World::new`], with binaries that are there already.
    ///
    /// # Errors
    ///
    /// When something cannot be written or bound.
    pub(crate) async fn with_binaries(arguments: &Arguments, binaries: &Binaries) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("herald-bench-").tempdir()?;
        let policies = scratch.path().join("policies");
        fs::create_dir(&policies)?;
        let components = arguments.targets.iter().flat_map(|target| target.policies().components());
        for name in components.collect::<BTreeSet<_>>() {
            let place = if *name == "hostile" { "tests/policies" } else { "policies" };
            binaries.build_policy(Path::new(place).join(name), &policies.join(name).with_extension("wasm"))?;
        }
        let roles = if arguments.roles == 0 { arguments.entries } else { arguments.roles };
        let mut sites = Vec::new();
        for &target in &arguments.targets {
            let behaviour = Behaviour { h2: arguments.sts_h2, verify: arguments.verify, ..Behaviour::default() };
            let options = Options { log_capacity: 0, behaviour, ..Options::default() };
            let sts = sts::Running::start(options).await?;
            let binary = if target.is_herald() { &binaries.herald } else { &binaries.floor };
            let place = Place {
                binary: binary.clone(),
                wrapper: Vec::new(),
                dir: scratch.path().join(target.name()),
                mappings: Mappings { kind: arguments.map_kind, entries: arguments.entries, roles },
                policies: policies.clone(),
                environment: sts.environment(),
                cpus: arguments.server_cpus.clone(),
            };
            sites.push(Site { target, sts, place });
        }
        Ok(Self { _scratch: scratch, sites, roles })
    }

    /// All targets' surroundings, in the order asked for.
    pub(crate) fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// One target's surroundings.
    ///
    /// # Errors
    ///
    /// When the world was made without it.
    pub(crate) fn site(&self, target: Target) -> anyhow::Result<&Site> {
        self.sites.iter().find(|site| site.target == target).with_context(|| format!("no {} here", target.name()))
    }

    /// Starts every target.
    ///
    /// # Errors
    ///
    /// When one does not become ready.
    pub(crate) async fn start_all(&self) -> anyhow::Result<Vec<Running>> {
        let mut running = Vec::new();
        for site in &self.sites {
            let started = site.target.start(&site.place).await?;
            output::progress(format_args!(
                "{}: ready in {:.0} ms, {:.1} MiB",
                site.target.name(),
                started.start.ready_ms,
                started.start.rest.rss_kib as f64 / 1024.0
            ));
            running.push(started);
        }
        Ok(running)
    }
}
