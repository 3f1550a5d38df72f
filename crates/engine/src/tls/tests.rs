use super::*;
use crate::{
    Limits, Pool, PoolLimits,
    h1::client::{Client, UpstreamError},
};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroU64,
    sync::Arc,
    thread::JoinHandle,
};
use wire::{BodyLength, Fields, Frame, Method};

/// An authority, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        Self::named("trusted")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.pem.as_bytes()).unwrap()
    }

    fn server(&self, asks_for_certificate: bool) -> Arc<ServerConfig> {
        install_cryptography();
        let (cert, key) = self.sign("server.test");
        let builder = ServerConfig::builder();
        let builder = match asks_for_certificate {
            true => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from(pem_der(&self.pem))).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
            }
            false => builder.with_no_client_auth(),
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Arc::new(builder.with_single_cert(vec![cert.der().clone()], key.into()).unwrap())
    }
}

fn pem_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn id(number: u64) -> TlsId {
    NonZeroU64::new(number).unwrap()
}

/// One connection of a server, without asynchrony: what it does is what a test says, in that order.
struct Accepted(rustls::StreamOwned<ServerConnection, TcpStream>);

impl Accepted {
    fn read_head(&mut self) {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(b"\r\n\r\n") {
            assert_eq!(self.0.read(&mut byte).unwrap(), 1);
            read.push(byte[0]);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    fn close(&mut self) {
        self.0.conn.send_close_notify();
        self.0.flush().unwrap();
    }
}

/// Accepts one connection and hands it to `serve`; an error of the handshake is what the thread gives.
fn serve(
    config: Arc<ServerConfig>,
    serve: impl FnOnce(Accepted) + Send + 'static,
) -> (SocketAddr, JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut io, _) = listener.accept()?;
        let mut connection = ServerConnection::new(config).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut io)?;
        }
        serve(Accepted(rustls::StreamOwned::new(connection, io)));
        Ok(())
    });
    (addr, thread)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn ask(client: &mut Client, length: BodyLength) {
    client.send_head(&Method::Post, b"/", b"server.test", &Fields::default(), length, None);
}

async fn finish(client: &mut Client) {
    assert!(client.send_frame(Frame::End));
    std::future::poll_fn(|cx| client.poll_flush(cx)).await.unwrap();
}

async fn read(client: &mut Client) -> Result<(u16, Vec<u8>), UpstreamError> {
    let head = std::future::poll_fn(|cx| client.poll_head(cx, &Limits::default())).await?;
    let mut body = Vec::new();
    loop {
        match std::future::poll_fn(|cx| client.poll_frame(cx)).await? {
            Frame::Data(data) => body.extend_from_slice(&data),
            Frame::End | Frame::Trailers(_) => return Ok((head.status, body)),
        }
    }
}

#[test]
fn names() {
    for (host, expected) in [
        ("shop.example", "shop.example"),
        ("shop.example:8443", "shop.example"),
        ("[::1]:8443", "::1"),
        ("[::1]", "::1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("", ""),
        ("[::1", "["),
    ] {
        assert_eq!(server_name(host.as_bytes()), expected, "{host}");
    }
    assert_eq!(server_name(b"\xff.example"), "");
}

#[test]
fn whom_to_believe() {
    let (trusted, other, alike) = (Authority::new(), Authority::named("other"), Authority::new());
    for (desc, roots, name, expected) in [
        ("signed by one who is trusted", Some(trusted.roots()), "server.test", Ok(())),
        ("for another name", Some(trusted.roots()), "other.test", Err("not valid for name")),
        ("signed by somebody else", Some(other.roots()), "server.test", Err("signed by nobody who is trusted")),
        (
            "signed by somebody of the same name",
            Some(alike.roots()),
            "server.test",
            Err("signed by nobody who is trusted"),
        ),
        ("nobody is trusted", Some(Roots::none("no authorities")), "server.test", Err("no authorities")),
        ("no name", Some(trusted.roots()), "", Err("no name that a certificate could be for")),
        ("an address that it is not for", Some(trusted.roots()), "127.0.0.1", Err("not valid for name")),
        ("not verified", None, "other.test", Ok(())),
        ("not verified, and no name", None, "", Ok(())),
    ] {
        let (addr, thread) = serve(trusted.server(false), |_| {});
        let settings = TlsSettings::compile(id(1), roots.as_ref(), None);
        let made = run(Client::connect(addr, Some(Secure { settings: &settings, name })));
        match (made, expected) {
            (Ok(_), Ok(())) => drop(thread.join().unwrap()),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{desc}: {error}"),
            (made, expected) => panic!("{desc}: {made:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn roots_that_are_none_are_refused() {
    for (text, expected) in [
        ("", "no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "none of an authority"),
        ("-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n", "not in PEM"),
    ] {
        let error = Roots::from_pem(text.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn certificates_that_are_none_are_refused_without_being_quoted() {
    let authority = Authority::new();
    let ((cert, key), (_, other)) = (authority.sign("client"), authority.sign("client"));
    let (cert, key, other) = (cert.pem(), key.serialize_pem(), other.serialize_pem());
    assert!(ClientCertificate::from_pem(&cert, &key).is_ok());
    assert_eq!(ClientCertificate::from_pem("secret", &key).unwrap_err(), BadCertificate::Certificate);
    assert_eq!(ClientCertificate::from_pem(&cert, "secret").unwrap_err(), BadCertificate::Key);
    let mismatch = ClientCertificate::from_pem(&cert, &other).unwrap_err();
    assert!(matches!(mismatch, BadCertificate::Pair(_)), "{mismatch:?}");
    let shown = format!("{:?}", ClientCertificate::from_pem(&cert, &key).unwrap());
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn a_client_certificate_is_shown() {
    let authority = Authority::new();
    let (cert, key) = authority.sign("client");
    let certificate = ClientCertificate::from_pem(&cert.pem(), &key.serialize_pem()).unwrap();
    for (certificate, is_accepted) in [(Some(&certificate), true), (None, false)] {
        let (addr, thread) = serve(authority.server(true), |mut accepted| {
            accepted.read_head();
            accepted.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        let settings = TlsSettings::compile(id(1), Some(&authority.roots()), certificate);
        let answer = run(async {
            let mut client = Client::connect(addr, Some(Secure { settings: &settings, name: "server.test" })).await?;
            ask(&mut client, BodyLength::None);
            // The server may have refused by now; its alert is read instead of an answer.
            let _ = std::future::poll_fn(|cx| client.poll_flush(cx)).await;
            read(&mut client).await
        });
        assert_eq!(answer.is_ok(), is_accepted, "{answer:?}");
        assert_eq!(thread.join().unwrap().is_ok(), is_accepted);
    }
}

#[test]
fn large_bodies_in_both_directions() {
    const PIECE: usize = 40_000;
    const PIECES: usize = 30;
    let authority = Authority::new();
    let (addr, thread) = serve(authority.server(false), |mut accepted| {
        accepted.read_head();
        let mut body = vec![0; PIECE * PIECES];
        accepted.0.read_exact(&mut body).unwrap();
        accepted.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        accepted.send(&body);
    });
    let settings = TlsSettings::compile(id(1), Some(&authority.roots()), None);
    let (status, body) = run(async {
        let secure = Secure { settings: &settings, name: "server.test" };
        let mut client = Client::connect(addr, Some(secure)).await.unwrap();
        ask(&mut client, BodyLength::Exact((PIECE * PIECES) as u64));
        for piece in 0..PIECES {
            assert!(client.send_frame(Frame::Data(Bytes::from(vec![piece as u8; PIECE]))));
            std::future::poll_fn(|cx| client.poll_flush(cx)).await.unwrap();
        }
        finish(&mut client).await;
        let answer = read(&mut client).await.unwrap();
        assert!(client.is_reusable());
        answer
    });
    thread.join().unwrap().unwrap();
    assert_eq!((status, body.len()), (200, PIECE * PIECES));
    assert!(body.chunks(PIECE).enumerate().all(|(number, piece)| piece.iter().all(|byte| *byte == number as u8)));
}

#[test]
fn an_answer_that_ends_with_the_connection_has_to_be_ended_by_the_server() {
    let authority = Authority::new();
    for (desc, says_goodbye) in [("with an announced end", true), ("cut by whoever is on the way", false)] {
        let (addr, thread) = serve(authority.server(false), move |mut accepted| {
            accepted.read_head();
            accepted.send(b"HTTP/1.1 200 OK\r\n\r\nall of it?");
            if says_goodbye {
                accepted.close();
            }
        });
        let settings = TlsSettings::compile(id(1), Some(&authority.roots()), None);
        let answer = run(async {
            let secure = Secure { settings: &settings, name: "server.test" };
            let mut client = Client::connect(addr, Some(secure)).await.unwrap();
            ask(&mut client, BodyLength::None);
            finish(&mut client).await;
            read(&mut client).await
        });
        thread.join().unwrap().unwrap();
        match answer {
            Ok((200, body)) if says_goodbye => assert_eq!(body, b"all of it?"),
            Err(UpstreamError::Truncated) if !says_goodbye => {}
            other => panic!("{desc}: {other:?}"),
        }
    }
}

/// What an idle connection may receive, and whether it may be used again then.
#[test]
fn idle_connections() {
    let authority = Authority::new();
    // The session tickets that every connection begins with are there in each case.
    for (desc, then, is_silent) in [
        ("nothing", None, true),
        ("an answer that nobody asked for", Some(&b"HTTP/1.1 200 OK\r\n\r\n"[..]), false),
        ("its end", Some(b""), false),
    ] {
        let (go, may_go) = std::sync::mpsc::sync_channel(1);
        let (addr, thread) = serve(authority.server(false), move |mut accepted| {
            accepted.read_head();
            accepted.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            may_go.recv().unwrap();
            match then {
                None => {}
                Some(b"") => accepted.close(),
                Some(bytes) => accepted.send(bytes),
            }
            may_go.recv().unwrap();
        });
        run(async {
            let settings = TlsSettings::compile(id(1), Some(&authority.roots()), None);
            let secure = Secure { settings: &settings, name: "server.test" };
            let mut client = Client::connect(addr, Some(secure)).await.unwrap();
            ask(&mut client, BodyLength::None);
            finish(&mut client).await;
            assert_eq!(read(&mut client).await.unwrap().0, 200);
            assert!(client.is_silent(), "{desc}");
            go.send(()).unwrap();
            if !is_silent {
                while client.is_silent() {
                    tokio::task::yield_now().await;
                }
            }
            let pool = Pool::default();
            pool.put(addr, Box::new(client), &PoolLimits::default());
            assert_eq!(pool.take(addr, Some(secure)).is_some(), is_silent, "{desc}");
            go.send(()).unwrap();
        });
        thread.join().unwrap().unwrap();
    }
}

/// A connection that was believed without a look, or has shown another certificate, or is for another name, is another one.
#[test]
fn connections_are_not_taken_for_each_other() {
    let authority = Authority::new();
    let (go, may_go) = std::sync::mpsc::sync_channel::<()>(1);
    let (addr, thread) = serve(authority.server(false), move |mut accepted| {
        accepted.read_head();
        accepted.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let _ = may_go.recv();
    });
    run(async {
        let verified = TlsSettings::compile(id(1), Some(&authority.roots()), None);
        let unverified = TlsSettings::compile(id(2), None, None);
        let secure = Secure { settings: &unverified, name: "server.test" };
        let mut client = Client::connect(addr, Some(secure)).await.unwrap();
        ask(&mut client, BodyLength::None);
        finish(&mut client).await;
        read(&mut client).await.unwrap();
        let pool = Pool::default();
        pool.put(addr, Box::new(client), &PoolLimits::default());
        for (desc, other) in [
            ("in plain text", None),
            ("verified", Some(Secure { settings: &verified, name: "server.test" })),
            ("another name", Some(Secure { settings: &unverified, name: "other.test" })),
        ] {
            assert!(pool.take(addr, other).is_none(), "{desc}");
        }
        assert!(pool.take(addr, Some(secure)).is_some());
    });
    drop(go);
    thread.join().unwrap().unwrap();
}

#[test]
fn a_server_that_does_not_speak_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut io, _) = listener.accept().unwrap();
        io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = io.read(&mut [0; 4096]);
    });
    let settings = TlsSettings::compile(id(1), None, None);
    let error = run(Client::connect(addr, Some(Secure { settings: &settings, name: "server.test" }))).unwrap_err();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    thread.join().unwrap();
}
