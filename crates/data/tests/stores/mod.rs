//! S3 stores for tests: versitygw with TLS, versions and Object Lock, moto without all trust, and a planted server
//! for what neither does (`planted`). Put in place by `scripts/setup --tests`; there is no way to pass without.
//!
//! Each listens on a free port of 127.0.0.1 and ends with its handle, and also when the test is killed: it runs
//! below a shell that waits for the end of its input. Secrets go by the environment.
#![allow(dead_code, reason = "not every test uses all of it")]

pub mod planted;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use secrecy::{ExposeSecret as _, SecretString};
use springtide_data::objects::s3::S3;
use springtide_data::objects::{Keys, Patience, Place, S3Place, Trouble};

/// How long a store may take to begin answering.
const STARTING: Duration = Duration::from_secs(60);

/// A patience that suits tests.
pub fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(20),
        whole: Duration::from_secs(60),
        repeats: 0,
        repeating: Duration::from_secs(60),
    }
}

/// versitygw with one bucket, `far`, that has versions and Object Lock.
pub struct Versity {
    /// The bucket `far`, with an empty prefix.
    pub place: S3Place,
    /// File with the authority of its certificate, for programs that want a file.
    pub authority: PathBuf,
    /// Port on 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Versity {
    /// Starts one that keeps everything below `folder`, which it makes.
    pub async fn start(folder: &Path) -> Self {
        for part in ["data", "versions", "iam", "tls"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::set_permissions(folder.join("tls"), fs::Permissions::from_mode(0o755)).unwrap();
        let authority_pem = certificate(&folder.join("tls"));
        let port = free_port();
        let place = S3Place {
            endpoint: format!("https://127.0.0.1:{port}"),
            region: "us-east-1".into(),
            bucket: "far".into(),
            prefix: String::new(),
            authority_pem: Some(authority_pem),
            keys: random_keys(),
        };
        let authority = folder.join("tls/authority.pem");
        let mut store = Self { place, authority, port, folder: folder.to_owned(), process: None };
        store.start_again().await;
        store.create(&store.place, true).await;
        store
    }

    /// The bucket `far`.
    pub fn place(&self) -> Place {
        Place::S3(self.place.clone())
    }

    /// Makes another bucket.
    pub async fn bucket(&self, name: &str, lockable: bool) -> S3Place {
        let place = S3Place { bucket: name.into(), ..self.place.clone() };
        self.create(&place, lockable).await;
        place
    }

    async fn create(&self, place: &S3Place, lockable: bool) {
        S3::new(place, patience()).unwrap().create(lockable).await.unwrap();
    }

    /// Ends it; what it keeps stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, on the same port with the same keys.
    pub async fn start_again(&mut self) {
        let file = |name: &str| self.folder.join(name);
        let mut command = served(&tool("bin/versitygw"), &file("log"));
        command
            .env("ROOT_ACCESS_KEY_ID", &self.place.keys.access)
            .env("ROOT_SECRET_ACCESS_KEY", self.place.keys.secret.expose_secret())
            .args(["--port", &format!("127.0.0.1:{}", self.port), "--region", &self.place.region])
            .arg("--cert")
            .arg(file("tls/server.pem"))
            .arg("--key")
            .arg(file("tls/server.key"))
            .arg("--iam-dir")
            .arg(file("iam"))
            .args(["posix", "--versioning-dir"])
            .arg(file("versions"))
            .arg(file("data"));
        self.process = Some(Process::start(command));
        answers(&self.place, &file("log")).await;
    }
}

/// moto, which checks no signature and lets a firm lock be shortened. It keeps everything in memory.
pub struct Moto {
    /// The bucket `far`, with versions and Object Lock, and an empty prefix.
    pub place: S3Place,
    /// Port on 127.0.0.1.
    pub port: u16,
    process: Process,
}

impl Moto {
    /// Starts one that logs into `folder`, which it makes.
    pub async fn start(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let port = free_port();
        let place = S3Place {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: "us-east-1".into(),
            bucket: "far".into(),
            prefix: String::new(),
            authority_pem: None,
            keys: random_keys(),
        };
        let mut command = served(&tool("venv/bin/moto_server"), &folder.join("log"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start(command);
        answers(&place, &folder.join("log")).await;
        S3::new(&place, patience()).unwrap().create(true).await.unwrap();
        Self { place, port, process }
    }

    /// The bucket `far`.
    pub fn place(&self) -> Place {
        Place::S3(self.place.clone())
    }
}

/// A child that ends with this handle or with this process.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The program below a shell that kills it when its own input ends; arguments are added by the caller.
fn served(program: &Path, log: &Path) -> Command {
    assert!(program.exists(), "{} is missing: run `scripts/setup --tests`", program.display());
    let out = File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#""$@" & child=$!; read -r _; kill -9 "$child"; wait "$child""#, "sh"])
        .arg(program)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(out.try_clone().unwrap())
        .stderr(out);
    command
}

async fn answers(place: &S3Place, log: &Path) {
    let quick = Patience { connect: Duration::from_secs(1), read: Duration::from_secs(5), ..patience() };
    let (store, began) = (S3::new(place, quick).unwrap(), Instant::now());
    loop {
        // The bucket need not be there: any answer of a store will do.
        let error = match store.versioning().await {
            Ok(_) => return,
            Err(error) if error.trouble() == Some(Trouble::Missing) => return,
            Err(error) => error,
        };
        assert!(
            began.elapsed() < STARTING,
            "the store does not answer: {error}\n{}",
            fs::read_to_string(log).unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn tool(path: &str) -> PathBuf {
    let cache = PathBuf::from(std::env::var("SPRINGTIDE_CACHE").unwrap_or_else(|_| "/var/cache/springtide".into()));
    cache.join("tools/stores").join(path)
}

/// Free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Fresh keys.
pub fn random_keys() -> Keys {
    let word = || format!("{:016X}{:016X}", getrandom::u64().unwrap(), getrandom::u64().unwrap());
    Keys { access: word()[..20].to_owned(), secret: SecretString::from(word()) }
}

/// Writes `authority.pem`, `server.pem` and `server.key` for 127.0.0.1 and returns the first.
pub fn certificate(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // OpenSSL takes a certificate whose subject is its issuer's for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::from_ca_cert_pem(&authority, key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let server = params.signed_by(&key, &issuer).unwrap().pem();
    fs::write(folder.join("authority.pem"), &authority).unwrap();
    fs::write(folder.join("server.pem"), server).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    authority
}
