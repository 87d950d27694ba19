//! Users, from `/etc/passwd`: a static binary has no name service switch.

use std::fs;

/// The id of a user given by name or number.
#[must_use]
pub fn uid(user: &str) -> Option<u32> {
    user.parse().ok().or_else(|| find(&fs::read_to_string("/etc/passwd").ok()?, user))
}

fn find(passwd: &str, user: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nnobody:x:65534:65534::/:/bin/false\n";
        assert_eq!(find(passwd, "nobody"), Some(65534));
        assert_eq!(find(passwd, "broken"), None);
        assert_eq!(find(passwd, "no"), None);
        assert_eq!(uid("1234"), Some(1234));
    }
}
