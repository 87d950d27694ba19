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

/// A user's entry in `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub home: String,
    pub shell: String,
}

/// The entry of the user with this id.
#[must_use]
pub fn account(uid: u32) -> Option<Account> {
    find_account(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

fn find_account(passwd: &str, uid: u32) -> Option<Account> {
    passwd.lines().find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
        [name, _, id, _, _, home, shell] if id.parse() == Ok(uid) => {
            let [name, home, shell] = [name, home, shell].map(str::to_owned);
            Some(Account { name, home, shell })
        }
        _ => None,
    })
}

/// The groups in `/etc/group` that a user is a member of.
#[must_use]
pub fn groups(user: &str) -> Vec<u32> {
    find_groups(&fs::read_to_string("/etc/group").unwrap_or_default(), user)
}

fn find_groups(group: &str, user: &str) -> Vec<u32> {
    let id = |line: &str| match line.split(':').collect::<Vec<_>>()[..] {
        [_, _, id, members] if members.split(',').any(|member| member == user) => id.parse().ok(),
        _ => None,
    };
    group.lines().filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken:x:1\njo:x:1000:1000:Jo,,,:/home/jo:/bin/zsh\n";
        let account = find_account(passwd, 1000).unwrap();
        assert_eq!([&*account.name, &*account.home, &*account.shell], ["jo", "/home/jo", "/bin/zsh"]);
        assert_eq!((find_account(passwd, 1), find_account(passwd, 2)), (None, None));
        let group = "root:x:0:\nadm:x:4:syslog,jo\nbroken\ndocker:x:998:jo\njoan:x:5:joan\n";
        assert_eq!(find_groups(group, "jo"), [4, 998]);
        assert_eq!(find_groups(group, "root"), [0u32; 0]);
    }

    #[test]
    fn users_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nnobody:x:65534:65534::/:/bin/false\n";
        assert_eq!(find(passwd, "nobody"), Some(65534));
        assert_eq!(find(passwd, "broken"), None);
        assert_eq!(find(passwd, "no"), None);
        assert_eq!(uid("1234"), Some(1234));
    }
}
