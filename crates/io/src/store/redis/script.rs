//! A shell script that restores with `redis-cli` alone.

/// Everything but the list of parts.
const HEAD: &str = r#"#!/bin/sh
# Puts back what this run removed from Redis or Valkey:
#   cd HERE && sh restore.sh -u redis://HOST:PORT/DATABASE
# All arguments go to redis-cli; add -c for a cluster. Nothing is overwritten: what exists is listed, and stays.
# For a server that cannot read the payloads of the other version:  RESTORE_BY=commands sh restore.sh ...
set -eu
now="$(date +%s)000"
tab="$(printf '\t')"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
redis-cli "$@" PING > /dev/null

# Answers to pairs of commands: ECHO NAME, and what it is about.
told() {
  awk '/^"/ { name = $0; next }
       /^\(error\)/ { print name ": " $0; bad++; next }
       /^OK$/ || /^\(integer\)/ { done++ }
       END { print done + 0 " put back, " bad + 0 " not"; exit bad > 0 }'
}

keys_by_payload() {
  awk -F "$tab" -v now="$now" '$3 != "" && $3 + 0 <= now + 0 { next }
    { print "ECHO " $1; print "RESTORE " $1 " " ($3 == "" ? 0 : $3) " " $4 " ABSTTL" }' |
    redis-cli --no-raw "$@" | told
}

keys_by_commands() {
  cat > "$work/lines"
  awk -F "$tab" '{ print "EXISTS " $1 }' "$work/lines" | redis-cli --no-raw "$@" | grep '^(' > "$work/exists"
  paste "$work/exists" "$work/lines" | awk -F "$tab" -v now="$now" '$4 != "" && $4 + 0 <= now + 0 { next }
    $1 != "(integer) 0" { print "ECHO " $2; print "ECHO"; next }
    $6 == "" { print "ECHO " $2; print "ECHO"; next }
    { print "ECHO " $2; n = split($6, made, " [|] "); for (i = 1; i <= n; i++) print made[i]
      if ($4 != "") print "PEXPIREAT " $2 " " $4 }' |
    redis-cli --no-raw "$@" | told
}

members() {
  awk -F "$tab" -v now="$now" '$3 != "" && $3 + 0 <= now + 0 { next }
    { print "ECHO " $4 }
    $2 == "hash" { print "HSETNX " $1 " " $4 " " $5 }
    $2 == "set" { print "SADD " $1 " " $4 }
    $2 == "zset" { print "ZADD " $1 " NX " $5 " " $4 }
    $3 != "" { print "PEXPIREAT " $1 " " $3 }' |
    redis-cli --no-raw "$@" | told
}

failed=0
"#;

/// The script; parts in the order in which they were archived. The last version of a key is put back first.
pub(super) fn restore(files: &[String]) -> String {
    let mut text = HEAD.to_owned();
    if files.iter().any(|file| file.ends_with(".age")) {
        text.push_str(
            "# The entries are encrypted. First:  export UNSEED_IDENTITY=/path/to/the/private/key\n\
             # Where there is a key.age, that key is in it:  age -d key.age > /dev/shm/key && export UNSEED_IDENTITY=/dev/shm/key\n",
        );
    }
    for file in files.iter().rev() {
        let reading = if file.ends_with(".age") {
            format!("age -d -i \"$UNSEED_IDENTITY\" {file} | gunzip -c")
        } else {
            format!("gunzip -c {file}")
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        let function = if name.contains(&format!(".{}.", super::archive::MEMBERS)) {
            "members".to_owned()
        } else {
            "\"keys_by_${RESTORE_BY:-payload}\"".to_owned()
        };
        text.push_str(&format!("echo {file}\n{reading} | {function} \"$@\" || failed=1\n"));
    }
    text.push_str("exit \"$failed\"\n");
    text
}
