//! Signatures against the real `ssh-keygen` and a real `ssh-agent`, in both directions.

use super::*;
use std::process::{Child, Command, Stdio};

struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn keygen(&self, arguments: &[&str]) -> String {
        let output = Command::new("ssh-keygen")
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output();
        let output = output.expect("ssh-keygen is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn make(&self, name: &str, kind: &[&str], passphrase: &str) -> PathBuf {
        let mut arguments = vec!["-q", "-N", passphrase, "-C", name, "-f", name];
        arguments.extend(kind);
        self.keygen(&arguments);
        self.path(name)
    }

    /// `ssh-keygen -Y verify` with this key as the only one of kim.
    fn openssh_accepts(&self, name: &str, namespace: &str, message: &str, armored: &str) -> bool {
        let public = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        std::fs::write(self.path("allowed"), format!("kim namespaces=\"unseed-*\" {public}")).unwrap();
        std::fs::write(self.path("sig"), armored).unwrap();
        std::fs::write(self.path("message"), message).unwrap();
        let verified = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-f", "allowed", "-I", "kim", "-n", namespace, "-s", "sig"])
            .current_dir(self.folder.path())
            .stdin(std::fs::File::open(self.path("message")).unwrap())
            .output();
        verified.unwrap().status.success()
    }
}

const KINDS: [(&str, &[&str]); 5] = [
    ("ed25519", &["-t", "ed25519"]),
    ("p256", &["-t", "ecdsa", "-b", "256"]),
    ("p384", &["-t", "ecdsa", "-b", "384"]),
    ("p521", &["-t", "ecdsa", "-b", "521"]),
    ("rsa", &["-t", "rsa", "-b", "2048"]),
];
const MESSAGE: &str = "unseed approval 1\nact: purge\n";

/// An agent of this test, stopped with it.
struct RunningAgent {
    child: Child,
    socket: PathBuf,
}

impl RunningAgent {
    fn start(keys: &Keys) -> Self {
        let socket = keys.path("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let child = child.expect("ssh-agent is installed");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            std::thread::yield_now();
        }
        Self { child, socket }
    }

    fn add(&self, key: &Path) {
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .stdin(Stdio::null())
            .status();
        assert!(added.unwrap().success());
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

#[test]
fn signatures_of_key_files_verify_with_openssh_and_those_of_openssh_here() {
    let keys = Keys::new();
    for (name, kind) in KINDS {
        let path = keys.make(name, kind, "");
        if name == "rsa" {
            assert!(Signer::of_file(&path, None).unwrap_err().message.contains("RSA"));
        } else {
            let signer = Signer::of_file(&path, None).unwrap();
            let armored = signer.sign("unseed-approval", MESSAGE.as_bytes()).unwrap();
            assert!(keys.openssh_accepts(name, "unseed-approval", MESSAGE, &armored), "{name}");
            assert!(!keys.openssh_accepts(name, "unseed-audit", MESSAGE, &armored), "{name}: namespace");
            assert!(!keys.openssh_accepts(name, "unseed-approval", "other", &armored), "{name}: text");
        }

        std::fs::write(keys.path("by-hand"), MESSAGE).unwrap();
        keys.keygen(&["-q", "-Y", "sign", "-f", name, "-n", "unseed-approval", "by-hand"]);
        let theirs = std::fs::read_to_string(keys.path("by-hand.sig")).unwrap();
        std::fs::remove_file(keys.path("by-hand.sig")).unwrap();
        let signed = SshVerifier.verify(MESSAGE.as_bytes(), &theirs).unwrap();
        assert_eq!(signed.namespace, "unseed-approval");
        let public = std::fs::read_to_string(keys.path(&format!("{name}.pub"))).unwrap();
        assert!(public.starts_with(&signed.key), "as it stands in a list of signers: {public}");
        assert!(keys.keygen(&["-l", "-f", name]).contains(&signed.fingerprint));
        assert!(SshVerifier.verify(b"other", &theirs).unwrap_err().contains("does not belong"));
    }
}

/// Of forty keys of P-521 ten are short; one run in a hundred thousand would find none.
#[test]
fn keys_whose_number_is_short_sign_like_any_other() {
    let keys = Keys::new();
    let mut short = 0;
    for number in 0..40 {
        let name = format!("key-{number}");
        let path = keys.make(&name, &["-t", "ecdsa", "-b", "521"], "");
        let signer = Signer::of_file(&path, None).unwrap();
        if PrivateKey::from_openssh(std::fs::read_to_string(&path).unwrap()).is_ok() {
            continue;
        }
        short += 1;
        let armored = signer.sign("unseed-approval", MESSAGE.as_bytes()).unwrap();
        assert!(keys.openssh_accepts(&name, "unseed-approval", MESSAGE, &armored), "{name}");
    }
    assert!(short > 0, "`ssh-key` reads them by now, so that `short.rs` is no longer needed");
}

#[test]
fn an_agent_signs_with_every_kind_of_key() {
    let keys = Keys::new();
    let agent = RunningAgent::start(&keys);
    assert!(Agent::at(agent.socket.clone()).keys().unwrap().is_empty());
    for (name, kind) in KINDS {
        let path = keys.make(name, kind, "");
        agent.add(&path);
        std::fs::remove_file(&path).unwrap();
        let public = keys.path(&format!("{name}.pub"));
        let signer = Signer::of_file(&public, Some(agent.socket.clone())).unwrap();
        assert!(matches!(signer, Signer::Agent(..)));
        let armored = signer.sign("unseed-audit", MESSAGE.as_bytes()).unwrap();
        assert!(keys.openssh_accepts(name, "unseed-audit", MESSAGE, &armored), "{name}");
    }
    let comments: Vec<String> =
        Agent::at(agent.socket.clone()).keys().unwrap().into_iter().map(|key| key.comment).collect();
    assert_eq!(comments, KINDS.map(|(name, _)| name));
}

#[test]
fn a_locked_key_leads_to_the_agent() {
    let keys = Keys::new();
    let path = keys.make("locked", &["-t", "ed25519"], "correct horse");
    for socket in [None, Some(RunningAgent::start(&keys))] {
        let fault = Signer::of_file(&path, socket.as_ref().map(|agent| agent.socket.clone())).unwrap_err();
        assert!(fault.message.contains("is locked"), "{}", fault.message);
        assert!(fault.hint.contains("ssh-add"), "{}", fault.hint);
    }
    let fault = Signer::of_file(&keys.path("none"), None).unwrap_err();
    assert!(fault.message.contains("cannot be read"), "{}", fault.message);
    std::fs::write(keys.path("text"), "no key").unwrap();
    let fault = Signer::of_file(&keys.path("text"), None).unwrap_err();
    assert!(fault.message.contains("is no SSH key"), "{}", fault.message);
}

#[test]
fn what_is_no_signature_is_told_and_never_panics() {
    let keys = Keys::new();
    let path = keys.make("ed25519", &["-t", "ed25519"], "");
    let good = Signer::of_file(&path, None).unwrap().sign("unseed-approval", MESSAGE.as_bytes()).unwrap();
    for cut in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad.truncate(cut);
        assert!(SshVerifier.verify(MESSAGE.as_bytes(), &bad).is_err(), "{cut}");
    }
    let body = good.find('\n').unwrap() + 1;
    for at in
        (body..good.rfind("\n-----END").unwrap()).filter(|at| good.as_bytes()[*at].is_ascii_alphanumeric())
    {
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut bad = good.clone();
        bad.replace_range(at..=at, other);
        // A change may only name another namespace, which is for the list of signers to refuse.
        if let Ok(signed) = SshVerifier.verify(MESSAGE.as_bytes(), &bad) {
            panic!("byte {at} may be anything: {signed:?}");
        }
    }
}
