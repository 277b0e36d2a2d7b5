//! A master, and a Marathon beside it, that answer.

use std::sync::{Arc, Mutex};

use super::agent::{log, say};
use super::http::{self, Access, Faults, Serving};
use super::marathon::Marathon;
use super::master::Master;
use super::{marathon_http, master_http};

/// Flags of a stand-in master.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "mesos-master",
    about = "A stand-in for a Mesos master and Marathon"
)]
pub(crate) struct Flags {
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) ip: String,
    /// 0 takes a free one; it is printed with the line that says that the master listens.
    #[arg(long, default_value_t = 5050)]
    pub(crate) port: u16,
    /// Where Marathon answers; without it there is none.
    #[arg(long = "marathon_port")]
    pub(crate) marathon_port: Option<u16>,
    /// Marathon's role.
    #[arg(long, default_value = "marathon")]
    pub(crate) role: String,
    /// The version to behave as.
    #[arg(long = "as_version", default_value = "1.12.0")]
    pub(crate) as_version: String,
    /// `principal:secret` that both ask for.
    #[arg(long)]
    pub(crate) basic: Option<String>,
    /// A bearer token that both ask for.
    #[arg(long)]
    pub(crate) token: Option<String>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            ip: "127.0.0.1".to_owned(),
            port: 0,
            marathon_port: Some(0),
            role: "marathon".to_owned(),
            as_version: "1.12.0".to_owned(),
            basic: None,
            token: None,
        }
    }
}

/// A master and perhaps Marathon, as long as this lives.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) master: Arc<Master>,
    /// What the master's HTTP does wrong.
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) port: u16,
    pub(crate) marathon: Option<Arc<Marathon>>,
    /// What Marathon's HTTP does wrong.
    pub(crate) marathon_faults: Arc<Mutex<Faults>>,
    pub(crate) marathon_port: u16,
    _serving: Vec<Serving>,
}

impl Cluster {
    /// Starts them.
    pub(crate) fn start(flags: &Flags) -> anyhow::Result<Self> {
        let access = Access {
            basic: flags.basic.clone(),
            token: flags.token.clone(),
            read_only: false,
        };
        let server = http::listen(&flags.ip, flags.port)?;
        let port = http::port(&server);
        let master = Arc::new(Master::new(&flags.ip, port, &flags.as_version));
        master.lock().access = access.clone();
        let faults = Arc::new(Mutex::new(Faults::default()));
        let (of_master, wrong) = (Arc::clone(&master), Arc::clone(&faults));
        let mut serving = vec![http::serve(server, 8, &faults, move |asked| {
            let hidden = wrong
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .hidden_roles
                .clone();
            Some(master_http::answer(asked, &of_master, &hidden))
        })];
        let marathon_faults = Arc::new(Mutex::new(Faults::default()));
        let (mut marathon, mut marathon_port) = (None, 0);
        if let Some(port) = flags.marathon_port {
            let server = http::listen(&flags.ip, port)?;
            marathon_port = http::port(&server);
            let one = Marathon::start(&master, &flags.role)?;
            one.lock().access = access;
            let of_marathon = Arc::clone(&one);
            serving.push(http::serve(server, 4, &marathon_faults, move |asked| {
                Some(marathon_http::answer(asked, &of_marathon))
            }));
            marathon = Some(one);
        }
        Ok(Self {
            master,
            faults,
            port,
            marathon,
            marathon_faults,
            marathon_port,
            _serving: serving,
        })
    }

    /// `host:port` of the master.
    pub(crate) fn address(&self) -> String {
        self.master.lock().address()
    }
}

/// Runs them until the process ends.
pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    log();
    let cluster = Cluster::start(flags)?;
    say(&format!("Master listens on {}", cluster.address()))?;
    if cluster.marathon.is_some() {
        say(&format!(
            "Marathon listens on {}:{}",
            flags.ip, cluster.marathon_port
        ))?;
    }
    loop {
        std::thread::park();
    }
}
