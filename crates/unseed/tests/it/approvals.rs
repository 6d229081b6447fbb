//! Two people have to agree: whoever tries to purge without them is refused, and the refusal is in the audit log.
//!
//! Keys are made with the real `ssh-keygen`; dana makes the plan and purges, kim and lee approve, eve is nobody.

mod adversary;
mod change_record;
mod destructive;
mod log;
mod quarantine;
mod restoring;
mod ways;

use crate::support::{Answer, Sandbox, answer};
use serde_json::Value;
use std::process::{Command, Stdio};

const KEYS: [&str; 6] = ["kim", "kim2", "lee", "dana", "max", "eve"];

/// A folder with a database, keys, a list of signers, and a configuration that asks for `required` approvals.
struct Team {
    sandbox: Sandbox,
}

impl Team {
    fn new(required: u32) -> Self {
        Self::of(Sandbox::new(3), required)
    }

    /// One with its state in a file, and one with it on a server.
    fn both(required: u32) -> [Self; 2] {
        [Sandbox::new(3), Sandbox::new(3).with_state_server()].map(|sandbox| Self::of(sandbox, required))
    }

    fn of(sandbox: Sandbox, required: u32) -> Self {
        let team = Self { sandbox };
        for name in KEYS {
            team.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name]);
        }
        let listed =
            |name: &str, key: &str| format!("{name}@example.org {}", team.read(&format!("{key}.pub")));
        team.sandbox.write(
            "approvers",
            &format!(
                "# who may approve\n{}{}{}{}max@example.org valid-after=\"20990101Z\" {}",
                listed("kim", "kim"),
                listed("kim", "kim2"),
                listed("lee", "lee"),
                listed("dana", "dana"),
                team.read("max.pub"),
            ),
        );
        team.configure(&format!("[approval]\nrequired = {required}\nallowed_signers = \"approvers\"\n"));
        team
    }

    fn configure(&self, text: &str) {
        self.sandbox.write("unseed.toml", text);
    }

    /// Takes somebody's keys off the list of signers.
    fn dismiss(&self, name: &str) {
        let all = self.read("approvers");
        let left = all.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n"));
        self.sandbox.write("approvers", &left.collect::<String>());
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.sandbox.path(name)).unwrap()
    }

    #[track_caller]
    fn keygen(&self, arguments: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        let output = command.args(arguments).current_dir(self.sandbox.path("")).stdin(Stdio::null()).output();
        let output = output.expect("ssh-keygen is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn approve(&self, what: &str, key: &str, more: &[&str]) -> Answer {
        let mut arguments = vec!["approve", what, "--key", key];
        arguments.extend(more);
        let mut command = self.sandbox.command(&arguments);
        answer(command.env("USER", key).env_remove("SSH_AUTH_SOCK"))
    }

    #[track_caller]
    fn approved(&self, what: &str, key: &str) {
        let answer = self.approve(
            what,
            key,
            &["--comment", "looked at all", "--ticket", "https://tickets.example.org/7"],
        );
        assert_eq!(answer.code, Some(0), "{answer:?}");
    }

    fn purge(&self, id: &str) -> Answer {
        self.sandbox.run(&["purge", "plan.json", "--confirm", id])
    }

    /// A refusal has its code and three parts, nothing has changed, and it is in the log.
    #[track_caller]
    fn refused(&self, answer: &Answer, says: &str) {
        assert_eq!(answer.code, Some(3), "{answer:?}");
        let lines: Vec<&str> =
            answer.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
        assert!(lines.len() >= 3 && lines.last().unwrap().starts_with("  hint: "), "three parts: {answer:?}");
        assert!(answer.stderr.contains(says), "`{says}` is not in: {}", answer.stderr);
        self.sandbox.assert_untouched();
        let log = self.log();
        let last = log.last().expect("something was logged");
        assert!(last["action"].as_str().unwrap().ends_with(".refused"), "{last}");
        assert!(last["outcome"].as_str().unwrap().contains(says), "`{says}` is not in: {last}");
    }

    /// The audit log.
    fn log(&self) -> Vec<Value> {
        let text = self.sandbox.expect(0, &["audit", "export"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
