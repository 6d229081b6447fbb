//! What a server says, told in three parts.

use redis::{ErrorKind, RedisError, ServerError};
use std::fmt::Display;
use unseed_core::fault::{Category, Fault};

/// What a failed call leaves behind, for the second part of its fault.
pub(super) const UNTOUCHED: &str = "nothing was changed";
pub(super) const REMOVING: &str = "what was removed is in the archive, everything else is as it was";
pub(super) const RESTORING: &str = "what was put back is there, nothing was overwritten";

/// What the driver says, when it could not even ask.
pub(super) fn driver(location: &str, error: &RedisError, state: &str) -> Fault {
    if let Some(code) = error.code() {
        return server(location, code, error.detail().unwrap_or_default(), state);
    }
    let text = error.to_string();
    if text.contains("DENIED") {
        return denied(location).state(state);
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return password(location, &text).state(state);
    }
    let fault = broken(location, &text, state);
    if text.contains("certificate") || text.contains("Certificate") {
        return fault.hint(
            "name the authority of the server's certificate with `?cacert=FILE`, and use the name it was issued for",
        );
    }
    fault
}

/// What became of a connection.
pub(super) fn broken(location: &str, why: &dyn Display, state: &str) -> Fault {
    let hint = if state == UNTOUCHED {
        "check host, port and whether the server runs; TLS needs `rediss://`"
    } else {
        "once the server answers again, run `unseed resume`; what is done already is not done twice"
    };
    Fault::store(format!("`{location}` does not answer: {why}")).state(state).hint(hint)
}

/// A refusal as it is sent: a code, and what it is about.
pub(super) fn refusal(location: &str, line: &str, state: &str) -> Fault {
    let (code, detail) = line.split_once(' ').unwrap_or((line, ""));
    server(location, code, detail, state)
}

/// What the server answered.
pub(super) fn reply(location: &str, error: &ServerError, state: &str) -> Fault {
    server(location, error.code(), error.details().unwrap_or_default(), state)
}

fn server(location: &str, code: &str, detail: &str, state: &str) -> Fault {
    let told = |what: &str, hint: &str| Fault::store(format!("`{location}` {what}")).hint(hint);
    let fault = match code {
        "NOAUTH" | "WRONGPASS" => password(location, detail),
        "NOPERM" => no_permission(location, detail),
        "DENIED" => denied(location),
        "READONLY" => told("is a read-only replica", "connect to the primary; `INFO replication` names it"),
        "LOADING" => {
            told("is still loading its data", "wait until it has loaded, then run the same command again")
        }
        "MISCONF" => told(
            "refuses writes, since it cannot save its data to the disk",
            "mend its disk (see its log), then run the same command again",
        ),
        "OOM" => told(
            "is full: `maxmemory` is reached, and nothing may be evicted",
            "raise `maxmemory` or make room, then run the same command again",
        ),
        "NOREPLICAS" => told(
            "refuses writes, since too few replicas follow it",
            "bring its replicas back, then run the same command again",
        ),
        "MASTERDOWN" => told("has lost its primary", "connect to the primary"),
        "CLUSTERDOWN" => told("is a cluster that is down", "run `CLUSTER INFO`, mend it, then try again"),
        "MOVED" | "ASK" | "TRYAGAIN" => told(
            "moved slots between its nodes meanwhile",
            "wait until the cluster is rebalanced, then run the same command again",
        ),
        "BUSY" => told("is busy with a script of somebody else", "wait, or end it with `SCRIPT KILL`"),
        _ => told(
            &format!("refused a command: {code} {detail}"),
            "look at the server's log, then run the same command again",
        ),
    };
    fault.state(state)
}

fn password(location: &str, detail: &str) -> Fault {
    let hint = "give user and password as in `redis://USER:PASSWORD@HOST`, in a variable: `env:NAME`";
    Fault::store(format!("`{location}` did not let us in: {detail}")).hint(hint)
}

fn denied(location: &str) -> Fault {
    Fault::store(format!("`{location}` is in protected mode and serves its own machine alone"))
        .hint("set a password or bind it to an address of its own; see `protected-mode` in its configuration")
}

fn no_permission(location: &str, detail: &str) -> Fault {
    Fault::new(Category::Refused, format!("the user of `{location}` may not do what is needed: {detail}"))
        .hint(
            "grant it: `ACL SETUSER NAME ~* +scan +type +hscan +sscan +zscan +dump +memory|usage +pexpiretime +pttl +time \
             +info +unlink +hget +hdel +srem +sismember +zscore +zrem +restore +evalsha +script|load`",
        )
}

/// An answer that no server gives.
pub(super) fn not_understood(location: &str, command: &str) -> Fault {
    Fault::store(format!("`{location}` answered {command} with something else"))
        .hint("see whether a proxy stands in front of the server")
}

/// A task that ended without an answer.
pub(super) fn lost_task() -> Fault {
    Fault::store("a request to the server ended without an answer").hint("run the same command again")
}
