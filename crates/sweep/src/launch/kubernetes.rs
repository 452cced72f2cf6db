//! Trains the runs of a sweep as a Kubernetes Indexed Job.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{CacheArguments, Console, DryRun, Launch, LaunchError, LaunchOutcome, Launcher};
use crate::claim::HELD_EXIT_CODE;
use run_folder::folder::write_atomically;

/// Resources and settings of the pods on Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Kubernetes")]
pub struct KubernetesSpec {
    /// Container image with the program as `runner` on its `PATH`, for example `site/runner:1`. Required by the kubernetes launcher.
    #[serde(default)]
    pub image: Option<String>,
    /// Name of the persistent volume claim with data, runs and cache, for example `data`. It is the working folder of every pod. Required by the kubernetes launcher.
    #[serde(default)]
    pub claim: Option<String>,
    /// Mount path of the claim in the container (default `/work`).
    #[serde(default = "default_mount")]
    pub mount: Mount,
    /// Namespace of the job, for example `radiology`; `null` (default) uses the namespace of the current context.
    #[serde(default)]
    pub namespace: Option<String>,
    /// GPUs per run (the limit `nvidia.com/gpu`), for example 1; `null` (default) sets no limit.
    #[serde(default)]
    pub gpus: Option<NonZeroUsize>,
    /// CPU cores per run, for example 8; `null` (default) sets no limit.
    #[serde(default)]
    pub cpus: Option<NonZeroUsize>,
    /// Memory per run in Kubernetes' notation, for example `32Gi`; `null` (default) sets no limit.
    #[serde(default)]
    pub memory: Option<String>,
}

/// A folder in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Mount(pub String);

impl Default for Mount {
    fn default() -> Self {
        default_mount()
    }
}

fn default_mount() -> Mount {
    Mount("/work".to_owned())
}

/// Seconds that a pod has to write a checkpoint before it is killed.
const GRACE_SECS: u32 = 120;

/// How often a pod that died is started again; its run resumes from the checkpoint.
const MAX_RETRIES: u32 = 6;

/// How long a finished job is listed by the cluster.
const TTL_SECS: u32 = 24 * 60 * 60;

/// A Kubernetes Indexed Job.
#[derive(Debug)]
pub(super) struct Kubernetes;

impl Launcher for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn about(&self) -> &'static str {
        "A Kubernetes Indexed Job"
    }

    fn dry_run(&self, launch: &Launch) -> Result<DryRun, LaunchError> {
        Ok(DryRun { has_estimates: false, text: manifest_of(launch)? })
    }

    fn launch(&self, launch: &Launch, _: &mut dyn Console) -> Result<LaunchOutcome, LaunchError> {
        let manifest = manifest_of(launch)?;
        launch.write()?;
        let path = launch.folder.file("kubernetes.yaml");
        write_atomically(&path, manifest.as_bytes())?;
        match Command::new("kubectl").args(["create", "--filename"]).arg(&path).status() {
            Ok(status) if status.success() => Ok(LaunchOutcome::Submitted),
            Ok(status) => {
                Err(LaunchError::Failure(format!("kubectl create --filename {} ended with {status}", path.display())))
            }
            Err(error) => Err(LaunchError::problem(
                format!("cannot start kubectl: {error}"),
                format!("run `kubectl create --filename {}` on a machine that has it", path.display()),
            )),
        }
    }
}

fn manifest_of(launch: &Launch) -> Result<String, LaunchError> {
    let (settings, folder) = (&launch.sweep.spec.kubernetes, launch.folder.root());
    let mount = &settings.mount.0;
    if folder.is_absolute() && !folder.starts_with(mount) {
        let message = format!("{} is outside {mount}, where pods mount the claim", folder.display());
        let help = "give --runs-dir relative to the working folder, where the claim is mounted";
        return Err(LaunchError::problem(message, help));
    }
    let mut worker = launch.worker("runner", &Path::new(mount).join(folder), &cache_dir(&launch.cache, mount));
    worker.push("--wait".to_owned());
    worker.extend(launch.device_option());
    let job = IndexedJob { name: &launch.sweep.name, runs: launch.points.len(), jobs: launch.jobs, settings, worker };
    job.manifest().ok_or_else(|| {
        LaunchError::problem(
            "the kubernetes launcher needs a container image and a persistent volume claim",
            "add `kubernetes: { image: IMAGE, claim: PERSISTENT_VOLUME_CLAIM }`",
        )
    })
}

/// Returns the cache folder of pods: the given one if it is on the claim, else `cache`, since other folders of a
/// container are lost with it.
fn cache_dir(cache: &CacheArguments, mount: &str) -> PathBuf {
    match &cache.given {
        Some(folder) if folder.is_relative() || folder.starts_with(mount) => folder.clone(),
        _ => PathBuf::from("cache"),
    }
}

/// A job with one pod per run.
#[derive(Clone, Debug)]
struct IndexedJob<'a> {
    /// The sweep's name.
    name: &'a str,
    /// The number of runs.
    runs: usize,
    /// The number of runs to train at a time; `None` trains all at a time.
    jobs: Option<usize>,
    settings: &'a KubernetesSpec,
    /// The command that trains one run.
    worker: Vec<String>,
}

impl IndexedJob<'_> {
    /// Returns the manifest as YAML, or `None` if the settings lack an image or a claim.
    fn manifest(&self) -> Option<String> {
        let KubernetesSpec { image, claim, mount, namespace, gpus, cpus, memory } = self.settings;
        let (image, claim) = (image.as_ref()?, claim.as_ref()?);
        let labels = json!({ "app.kubernetes.io/name": "runner", "runner/sweep": label(self.name) });
        let mut limits = serde_json::Map::new();
        let mut limit = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                limits.insert(name.to_owned(), value.into());
            }
        };
        limit("cpu", cpus.map(|count| count.to_string()));
        limit("memory", memory.clone());
        limit("nvidia.com/gpu", gpus.map(|count| count.to_string()));
        // Each launch creates a new job; its pods skip runs that are done.
        let mut metadata = json!({ "generateName": format!("{}-", label(self.name)), "labels": labels });
        if let Some(namespace) = namespace {
            metadata["namespace"] = Json::from(namespace.as_str());
        }
        let manifest = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                // A pod's index is its run's index; the worker reads it from JOB_COMPLETION_INDEX.
                "completionMode": "Indexed",
                "completions": self.runs,
                "parallelism": self.jobs.unwrap_or(self.runs).min(self.runs),
                "backoffLimitPerIndex": MAX_RETRIES,
                "maxFailedIndexes": self.runs,
                "ttlSecondsAfterFinished": TTL_SECS,
                "podFailurePolicy": { "rules": [
                    // An evicted pod is not a failed run.
                    { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                    // Another process trains the run: retry later.
                    { "action": "Ignore", "onExitCodes": { "operator": "In", "values": [HELD_EXIT_CODE] } },
                    // A failed run would fail again.
                    { "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [1, 2, 3, 101] } },
                ] },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": GRACE_SECS,
                        "containers": [{
                            "name": "runner",
                            "image": image,
                            "command": self.worker,
                            "workingDir": mount.0,
                            "resources": { "limits": limits },
                            "volumeMounts": [{ "name": "work", "mountPath": mount.0 }],
                        }],
                        "volumes": [{ "name": "work", "persistentVolumeClaim": { "claimName": claim } }],
                    },
                },
            },
        });
        Some(serde_yaml::to_string(&manifest).expect("a manifest holds maps, lists, numbers and text only"))
    }
}

/// Returns a name that Kubernetes accepts: at most 40 lower-case letters, digits and `-`, since it appends to the name.
fn label(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = name.chars().map(allowed).take(40).collect();
    match label.trim_matches('-') {
        "" => "sweep".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;

    use super::*;

    fn manifest(text: &str, name: &str) -> Option<String> {
        let settings: KubernetesSpec = serde_json::from_str(text).unwrap();
        IndexedJob {
            name,
            runs: 6,
            jobs: Some(2),
            settings: &settings,
            worker: vec!["runner".into(), "sweep".into(), "worker".into(), "/work/runs/name".into()],
        }
        .manifest()
    }

    #[test]
    fn the_manifest_is_a_valid_job() {
        let text = r#"{"image": "registry/runner:1", "claim": "data", "namespace": "radiology", "gpus": 1, "cpus": 8, "memory": "32Gi"}"#;
        let text = manifest(text, "LR sweep_1").unwrap();
        let written: Json = serde_yaml::from_str(&text).unwrap();
        let job: Job = serde_json::from_value(written.clone()).unwrap();
        // A key that is unknown to Kubernetes would get lost here.
        assert_eq!(serde_json::to_value(&job).unwrap(), written);
        let spec = job.spec.unwrap();
        assert_eq!((spec.completions, spec.parallelism), (Some(6), Some(2)));
        assert_eq!(job.metadata.generate_name.as_deref(), Some("lr-sweep-1-"));
        let container = &spec.template.spec.unwrap().containers[0];
        assert_eq!(container.command.as_ref().unwrap()[3], "/work/runs/name");
    }

    #[test]
    fn without_an_image_there_is_no_manifest() {
        assert_eq!(manifest(r#"{"claim": "data"}"#, "name"), None);
        assert_eq!(label("__"), "sweep");
    }
}
