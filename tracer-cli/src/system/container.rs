//! Containers of docker, podman, containerd and CRI-O: by their cgroups, and their names from the
//! runtimes' state files.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::cgroup;
use crate::error::Failure;

/// Length of the ids that runtimes choose themselves.
const ID_LEN: usize = 64;
/// The part of an id that they show.
const SHORT_ID_LEN: usize = 12;
/// State files are smaller; more is not read.
const STATE_MAX: u64 = 32 << 20;

/// A container's id in the name of its cgroup: `docker-ID.scope`, `libpod-ID`, `crio-ID.scope`, `ID`,
/// `SLICE:cri-containerd:ID`. The cgroup of what watches over one is not its own.
fn id_in_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (before, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
    let is_id = id.len() == ID_LEN && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && !before.ends_with("conmon")).then_some(id)
}

/// The id of the container that a cgroup is, or is in; of nested ones the inmost.
#[must_use]
pub fn id_in_path(path: &Path) -> Option<&str> {
    path.iter().rev().find_map(|name| id_in_name(name.to_str()?))
}

/// A container that is known, running or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    names: Vec<String>,
    /// Its cgroup, where the name of that does not tell.
    cgroup: Option<PathBuf>,
}

/// What the runtimes' state files tell, by id.
#[derive(Debug, Default)]
pub struct Containers(HashMap<String, Known>);

impl Containers {
    /// Reads the state files that are there and may be read.
    #[must_use]
    pub fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    fn read_below(root: &Path) -> Self {
        let mut containers = Self::default();
        for folder in folders(&root.join("var/lib/docker/containers")) {
            containers.add_docker(&folder);
        }
        let homes = folders(&root.join("home")).into_iter().chain([root.join("root")]);
        let mut storages: Vec<PathBuf> =
            homes.map(|home| home.join(".local/share/containers/storage")).collect();
        storages.extend(["var/lib/containers/storage", "run/containers/storage"].map(|path| root.join(path)));
        for driver in storages.iter().flat_map(|storage| folders(storage)) {
            for file in ["containers.json", "volatile-containers.json"] {
                containers.add_storage(&driver.join(file));
            }
        }
        let tasks = folders(&root.join("run/containerd/io.containerd.runtime.v2.task"));
        for folder in tasks.iter().flat_map(|namespace| folders(namespace)) {
            containers.add_bundle(&folder);
        }
        containers
    }

    /// docker's folder of a container.
    fn add_docker(&mut self, folder: &Path) {
        let Some(state) = read_json(&folder.join("config.v2.json")) else { return };
        self.add(state["ID"].as_str(), [state["Name"].as_str().map(|name| name.trim_start_matches('/'))]);
    }

    /// The list that podman and CRI-O share.
    fn add_storage(&mut self, file: &Path) {
        for state in read_json(file).iter().filter_map(Value::as_array).flatten() {
            let names = state["names"].as_array().into_iter().flatten().map(Value::as_str);
            // Kubernetes' are k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT.
            let short = |name: &'_ str| {
                name.strip_prefix("k8s_").and_then(|rest| rest.split('_').next().map(str::to_owned))
            };
            let all: Vec<String> =
                names.flatten().flat_map(|name| [Some(name.to_owned()), short(name)]).flatten().collect();
            self.add(state["id"].as_str(), all.iter().map(|name| Some(&**name)));
        }
    }

    /// containerd's folder of a container that runs, named by its id, which ctr's users choose.
    fn add_bundle(&mut self, folder: &Path) {
        let Some(spec) = read_json(&folder.join("config.json")) else { return };
        let Some(id) = folder.file_name().and_then(|name| name.to_str()) else { return };
        let annotation = |key: &str| spec["annotations"][key].as_str();
        self.add(Some(id), [annotation("nerdctl/name"), annotation("io.kubernetes.cri.container-name")]);
        if let Some(path) = spec["linux"]["cgroupsPath"].as_str().filter(|path| path.starts_with('/'))
            && let Some(known) = self.0.get_mut(id)
        {
            known.cgroup = Some(PathBuf::from(path));
        }
    }

    fn add<'a>(&mut self, id: Option<&str>, names: impl IntoIterator<Item = Option<&'a str>>) {
        let Some(id) = id else { return };
        let known = self.0.entry(id.to_owned()).or_default();
        for name in names.into_iter().flatten().filter(|name| !name.is_empty()) {
            if !known.names.iter().any(|known| known == name) {
                known.names.push(name.to_owned());
            }
        }
    }

    /// Whether a state file tells of a container.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// What to call a container: its name, or the part of its id that people know.
    #[must_use]
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        let name = self.0.get(id).and_then(|known| known.names.first());
        name.map_or_else(|| id.get(..SHORT_ID_LEN).unwrap_or(id), String::as_str)
    }

    /// The ids that are meant by a name, an id or the beginning of one, among the known and these.
    fn meant<'a>(&'a self, wanted: &str, running: &[&'a str]) -> Vec<&'a str> {
        let known = self.0.keys().map(String::as_str);
        let mut ids: Vec<&str> = running.iter().copied().chain(known).collect();
        ids.sort_unstable();
        ids.dedup();
        let has_name =
            |id: &&str| self.0.get(*id).is_some_and(|known| known.names.iter().any(|name| name == wanted));
        let choices: [Vec<&str>; 3] = [
            ids.iter().copied().filter(|id| *id == wanted).collect(),
            ids.iter().copied().filter(has_name).collect(),
            ids.iter().copied().filter(|id| !wanted.is_empty() && id.starts_with(wanted)).collect(),
        ];
        choices.into_iter().find(|ids| !ids.is_empty()).unwrap_or_default()
    }
}

/// The cgroup of a running container, given by its name, its id or the beginning of that.
///
/// # Errors
/// If there is none, or there are several.
pub fn find(wanted: &str) -> anyhow::Result<PathBuf> {
    let containers = Containers::read();
    let mut running = Vec::new();
    cgroup::walk(|directory| running.push(directory.to_owned()))?;
    // Those above come first: of a container's cgroups the outmost is its own.
    let mut cgroups: HashMap<&str, &Path> = HashMap::new();
    for directory in &running {
        if let Some(id) = directory.file_name().and_then(|name| id_in_name(name.to_str()?)) {
            cgroups.entry(id).or_insert(directory);
        }
    }
    let ids: Vec<&str> = cgroups.keys().copied().collect();
    let meant = containers.meant(wanted, &ids);
    // Several can have had a name; one can have it now.
    let path_of =
        |id: &&str| cgroups.get(*id).map(|path| path.to_path_buf()).or_else(|| containers.cgroup(id));
    let mut paths: Vec<(&str, PathBuf)> =
        meant.iter().filter_map(|id| path_of(id).map(|path| (*id, path))).collect();
    match (paths.len(), &meant[..]) {
        (1, _) => Ok(paths.remove(0).1),
        (0, []) => {
            let mut names: Vec<&str> = ids.iter().map(|id| containers.name(id)).collect();
            names.sort_unstable();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::Usage(format!(
                "--container: there is no container {wanted:?}; in cgroup v2 there are: {names}"
            ))
            .into())
        }
        (0, ids) => Err(no_cgroup(wanted, ids)),
        _ => {
            let ids: Vec<&str> = paths.iter().map(|(id, _)| *id).collect();
            Err(Failure::Usage(format!(
                "--container: {wanted:?} is the beginning or name of several: {}",
                ids.join(", ")
            ))
            .into())
        }
    }
}

/// A container that is known but has no cgroup: it does not run, or only in cgroups v1.
fn no_cgroup(wanted: &str, ids: &[&str]) -> anyhow::Error {
    let mut pids = Vec::new();
    for process in folders(Path::new("/proc")) {
        let cgroups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let is_in = ids.iter().any(|id| cgroups.contains(id));
        pids.extend(process.file_name().filter(|_| is_in).map(|pid| pid.to_string_lossy().into_owned()));
    }
    if pids.is_empty() {
        anyhow::anyhow!("container {wanted} does not run")
    } else {
        let pids = pids.join(",");
        Failure::Unsupported(format!(
            "container {wanted} has cgroups of v1 only, by which tracer can't filter: trace its processes with -f -p {pids}"
        ))
        .into()
    }
}

impl Containers {
    /// The cgroup that a runtime says a container is in, if there is one.
    fn cgroup(&self, id: &str) -> Option<PathBuf> {
        let path = self.0.get(id)?.cgroup.as_ref()?;
        let directory = cgroup::mount_point()?.join(path.strip_prefix("/").ok()?);
        directory.is_dir().then_some(directory)
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn read_json(file: &Path) -> Option<Value> {
    let mut text = String::new();
    File::open(file).ok()?.take(STATE_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn ids_are_found_in_the_paths_of_each_runtime() {
        for path in [
            "/system.slice/docker-ID.scope",
            "/docker/ID",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            "/libpod_parent/libpod-ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice/cri-containerd-ID.scope",
            "/kubepods/besteffort/pod12-34/ID",
            "/kubepods.slice/kubepods-pod12.slice/crio-ID.scope",
            "/system.slice/containerd.service/kubepods-burstable-pod12.slice:cri-containerd:ID",
            "/docker/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210/docker/ID",
        ] {
            let path = path.replace("ID", ID);
            assert_eq!(id_in_path(Path::new(&path)), Some(ID), "{path}");
        }
        for path in [
            "/",
            "/system.slice/ssh.service",
            "/kubepods/pod12",
            "/machine.slice/libpod-conmon-ID.scope",
            "/docker/IDa",
            "/crio-conmon-ID.scope",
        ] {
            assert_eq!(id_in_path(Path::new(&path.replace("ID", ID))), None, "{path}");
        }
    }

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn state_files_tell_names() {
        let folder = std::env::temp_dir().join(format!("tracer-containers-{}", std::process::id()));
        let [docker, podman, crio, nerd] = ["a", "b", "c", "d"].map(|digit| digit.repeat(ID_LEN));
        write(
            &folder,
            &format!("var/lib/docker/containers/{docker}/config.v2.json"),
            &format!(r#"{{"ID":"{docker}","Name":"/web"}}"#),
        );
        write(&folder, "var/lib/docker/containers/broken/config.v2.json", "{");
        write(
            &folder,
            "home/jo/.local/share/containers/storage/overlay-containers/containers.json",
            &format!(r#"[{{"id":"{podman}","names":["db"]}},{{"id":"x"}},7]"#),
        );
        write(
            &folder,
            "var/lib/containers/storage/overlay-containers/volatile-containers.json",
            &format!(r#"[{{"id":"{crio}","names":["k8s_nginx_pod_default_12_0"]}}]"#),
        );
        let task = "run/containerd/io.containerd.runtime.v2.task";
        write(
            &folder,
            &format!("{task}/default/{nerd}/config.json"),
            r#"{"annotations":{"nerdctl/name":"cache"}}"#,
        );
        write(
            &folder,
            &format!("{task}/default/mine/config.json"),
            r#"{"linux":{"cgroupsPath":"/default/mine"}}"#,
        );
        let containers = Containers::read_below(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let meant = |wanted| containers.meant(wanted, &[ID]);
        assert_eq!(meant("web"), [&*docker]);
        assert_eq!(meant("db"), [&*podman]);
        assert_eq!(meant("nginx"), [&*crio]);
        assert_eq!(meant("k8s_nginx_pod_default_12_0"), [&*crio]);
        assert_eq!(meant("cache"), [&*nerd]);
        assert_eq!(meant("dd"), [&*nerd]);
        assert_eq!(meant("mine"), ["mine"]);
        assert_eq!(containers.0["mine"].cgroup.as_deref(), Some(Path::new("/default/mine")));
        assert_eq!(meant("0123"), [ID]);
        assert!(meant("").is_empty() && meant("none").is_empty());
        assert_eq!((containers.name(&docker), containers.name(ID)), ("web", "0123456789ab"));
    }
}
