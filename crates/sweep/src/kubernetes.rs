//! The runs of a sweep as an Indexed Job of Kubernetes.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::local::HELD;

/// What a pod asks of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The container image that holds the runner as `runner` on its path.
    #[serde(default)]
    pub image: Option<String>,
    /// The persistent volume claim that holds data, runs and cache; it is the working folder of every pod.
    #[serde(default)]
    pub claim: Option<String>,
    /// Where the claim is mounted.
    #[serde(default = "default_mount")]
    pub mount: Mount,
    /// The namespace; `null` takes the one of the current context.
    #[serde(default)]
    pub namespace: Option<String>,
    /// GPUs of a run.
    #[serde(default)]
    pub gpus: Option<NonZeroUsize>,
    /// CPU cores of a run.
    #[serde(default)]
    pub cpus: Option<NonZeroUsize>,
    /// Memory of a run, as Kubernetes writes it: `32Gi`.
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

/// A sweep as a job.
#[derive(Clone, Debug)]
pub struct IndexedJob<'a> {
    /// The sweep's name.
    pub name: &'a str,
    /// The definition's id.
    pub definition: &'a str,
    /// How many runs there are.
    pub runs: usize,
    /// How many are trained at once; `None` trains all at once.
    pub jobs: Option<usize>,
    /// What a pod asks for.
    pub kubernetes: &'a Kubernetes,
    /// The folder of the sweep's runs, absolute or relative to the working folder.
    pub folder: &'a Path,
    /// Further arguments of the worker.
    pub arguments: Vec<String>,
}

/// Seconds that a pod has for its checkpoint when it is told to go.
const GRACE_SECS: u32 = 120;

/// How often a pod that died is started again; a run goes on from its checkpoint.
const RETRIES: u32 = 6;

/// How long a job that has ended stays in the cluster's lists.
const KEPT_SECS: u32 = 24 * 60 * 60;

impl IndexedJob<'_> {
    /// Whether the folder of the runs lies where pods see it.
    pub fn sees_folder(&self) -> bool {
        !self.folder.is_absolute() || self.folder.starts_with(&self.kubernetes.mount.0)
    }

    /// The manifest, YAML. `None` where the sweep file names no image or no claim.
    pub fn manifest(&self) -> Option<String> {
        let Kubernetes { image, claim, mount, namespace, gpus, cpus, memory } = self.kubernetes;
        let (image, claim) = (image.as_ref()?, claim.as_ref()?);
        let folder: PathBuf = Path::new(&mount.0).join(self.folder);
        let mut command: Vec<String> = ["runner", "sweep", "worker"].map(str::to_owned).to_vec();
        command.push(folder.display().to_string());
        command.extend(["--sweep", self.definition, "--wait"].map(str::to_owned));
        command.extend(self.arguments.iter().cloned());
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
        // Each time that the sweep is asked for is a job of its own; what is done is not done again.
        let mut metadata = json!({ "generateName": format!("{}-", label(self.name)), "labels": labels });
        if let Some(namespace) = namespace {
            metadata["namespace"] = Json::from(namespace.as_str());
        }
        let manifest = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                // The index of a pod is that of its run; the worker reads it from JOB_COMPLETION_INDEX.
                "completionMode": "Indexed",
                "completions": self.runs,
                "parallelism": self.jobs.unwrap_or(self.runs).min(self.runs),
                "backoffLimitPerIndex": RETRIES,
                "maxFailedIndexes": self.runs,
                "ttlSecondsAfterFinished": KEPT_SECS,
                "podFailurePolicy": { "rules": [
                    // A pod that had to make room is no failure of its run.
                    { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                    // Another job is at the run: wait for it.
                    { "action": "Ignore", "onExitCodes": { "operator": "In", "values": [HELD] } },
                    // A run that has failed fails again.
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
                            "command": command,
                            "workingDir": mount.0,
                            "resources": { "limits": limits },
                            "volumeMounts": [{ "name": "work", "mountPath": mount.0 }],
                        }],
                        "volumes": [{ "name": "work", "persistentVolumeClaim": { "claimName": claim } }],
                    },
                },
            },
        });
        Some(serde_yaml::to_string(&manifest).expect("a manifest is plain data"))
    }
}

/// A name as Kubernetes allows it: lower case letters, digits and `-`, at most 40 of them: Kubernetes appends to it.
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
        let kubernetes: Kubernetes = serde_json::from_str(text).unwrap();
        IndexedJob {
            name,
            definition: "0123456789ab",
            runs: 6,
            jobs: Some(2),
            kubernetes: &kubernetes,
            folder: Path::new("runs/name"),
            arguments: vec![],
        }
        .manifest()
    }

    #[test]
    fn the_manifest_fits_the_job_of_kubernetes() {
        let text = r#"{"image": "registry/runner:1", "claim": "data", "namespace": "radiology", "gpus": 1, "cpus": 8, "memory": "32Gi"}"#;
        let text = manifest(text, "LR sweep_1").unwrap();
        let written: Json = serde_yaml::from_str(&text).unwrap();
        let job: Job = serde_json::from_value(written.clone()).unwrap();
        // A key that Kubernetes does not know would be lost on the way.
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
