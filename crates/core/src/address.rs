//! Addresses of stores as text: which of them hold a password, and how they look without it.
//!
//! Plans, logs, archives and messages only ever see an address that went through [`redacted`].
//!
//! Invariants
//! - what [`redacted`] returns never holds the password, even where the address is malformed;
//! - an address without a password is returned as it was.
//!
//! Not here: opening a store (`io::store`), resolving `env:NAME` (`unseed::wire`).

/// What stands in place of a password.
pub const MASK: &str = "***";

/// Names of URL parameters and DSN fields that hold secrets.
const SECRETS: &[&str] =
    &["password", "passwd", "pass", "pwd", "sslpassword", "passfile_password", "token", "secret"];

/// Whether an address holds a password in the clear.
pub fn has_password(address: &str) -> bool {
    redacted(address) != address
}

/// Whether an address lost its password on the way into a plan.
pub fn is_masked(address: &str) -> bool {
    address.contains(MASK)
}

/// The address with every password replaced by [`MASK`].
pub fn redacted(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return redacted_fields(address, ' ');
    };
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let mut text = format!("{scheme}://{}", redacted_authority(before_query));
    if let Some(query) = query {
        // A raw `?` inside a password would end up here, so everything up to a later `@` goes as well.
        match query.rsplit_once('@') {
            Some((_, host)) if !query.contains('=') && before_query.contains(':') => {
                let user = before_query.split_once(':').map_or("", |(user, _)| user);
                return format!("{scheme}://{user}:{MASK}@{host}");
            }
            Some(_) | None => {
                text.push('?');
                text.push_str(&redacted_fields(query, '&'));
            }
        }
    }
    text
}

/// Hides what stands between the first `:` and the last `@`, so that a raw `@` or `/` in a password is hidden too.
fn redacted_authority(text: &str) -> String {
    let Some((account, host)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    match account.split_once(':') {
        Some((user, password)) if !password.is_empty() => format!("{user}:{MASK}@{host}"),
        Some(_) | None => text.to_owned(),
    }
}

fn redacted_fields(text: &str, separator: char) -> String {
    let mut fields = Vec::new();
    for field in text.split(separator) {
        match field.split_once('=') {
            Some((name, value))
                if SECRETS.contains(&name.trim().to_ascii_lowercase().as_str()) && !value.is_empty() =>
            {
                fields.push(format!("{name}={MASK}"));
            }
            Some(_) | None => fields.push(field.to_owned()),
        }
    }
    fields.join(&separator.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        let cases = [
            ("postgres://app:secret@db:5432/app", "postgres://app:***@db:5432/app"),
            ("postgres://app:se@cr/et@db/app?sslmode=require", "postgres://app:***@db/app?sslmode=require"),
            ("postgres://app:se?cret@db/app", "postgres://app:***@db/app"),
            ("postgres://db/app?user=a&password=secret", "postgres://db/app?user=a&password=***"),
            ("host=db user=a password=secret dbname=x", "host=db user=a password=*** dbname=x"),
            ("redis://:secret@cache", "redis://:***@cache"),
            ("redis+unix:///run/r.sock?db=2&pass=secret", "redis+unix:///run/r.sock?db=2&pass=***"),
        ];
        for (given, wanted) in cases {
            assert_eq!(redacted(given), wanted);
            assert!(has_password(given) && is_masked(&redacted(given)));
        }
    }

    #[test]
    fn addresses_without_a_password_stay_as_they_are() {
        for address in [
            "postgres://app@db/app",
            "postgres:///app?host=/run/postgresql",
            "sqlite:demo.db",
            "/var/lib/app.db",
            "env:DATABASE_URL",
            "postgres://db:5432/app?sslmode=verify-full",
        ] {
            assert_eq!(redacted(address), address);
            assert!(!has_password(address) && !is_masked(address));
        }
    }
}
