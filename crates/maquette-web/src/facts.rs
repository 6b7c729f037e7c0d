//! What this browser offers, in words and numbers: for the doctor page, and for messages that say why nothing can run.

use js_sys::Promise;
use maquette::Precision;
use maquette::maquette_gpu::{AdapterChoice, Capabilities, Doctor, OpenOptions, Trial, doctor};
use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::*;

use crate::browser;
use crate::fault;

const INSECURE: &str =
    "this page was not loaded over https (or from this machine), and browsers offer WebGPU only there";
const NO_WEBGPU: &str = "this browser has no WebGPU, or it is switched off";
const NO_ADAPTER: &str = "this browser has WebGPU, but gives no graphics adapter: there is no GPU, or the browser has put it on its blocklist";
/// GiB of memory under which a tab will hardly hold a model's largest stage beside the browser itself.
const LITTLE_MEMORY: f64 = 4.0;

/// A report: a JSON object of the documented form.
#[derive(Clone, Debug)]
pub(crate) struct Facts(Map<String, Value>);

impl Facts {
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Why nothing can run, from what the browser says before a device is opened.
    pub(crate) fn obstacle(look: &str) -> Option<String> {
        obstacle(&parsed(look)).map(|(_, reason)| reason)
    }

    /// The report on an open device.
    pub(crate) fn of_device(look: &str, capabilities: &Capabilities, precision: Precision) -> Self {
        let look = parsed(look);
        let mut facts = started(&look);
        describe(&mut facts, &look, capabilities, precision);
        facts.insert("advice".into(), advice(&look, &[]).into());
        Self(facts)
    }

    /// The report on this browser, with a trial of its device.
    async fn of_browser() -> Self {
        let look = parsed(&browser::look().await);
        let mut facts = started(&look);
        if let Some((cause, reason)) = obstacle(&look) {
            facts.insert("reason".into(), reason.into());
            facts.insert("cause".into(), cause.into());
            facts.insert("advice".into(), help(cause).into());
            return Self(facts);
        }
        let Doctor { trial, advice: said, .. } = doctor(&AdapterChoice::default(), OpenOptions::default()).await;
        match trial {
            Ok(trial) => {
                let precision = if trial.capabilities.f16 { Precision::F16 } else { Precision::F32 };
                describe(&mut facts, &look, &trial.capabilities, precision);
                facts.insert("trial".into(), times(&trial));
            }
            Err(error) => {
                facts.insert("reason".into(), error.to_string().into());
                facts.insert("cause".into(), "trial".into());
            }
        }
        facts.insert("advice".into(), advice(&look, &said).into());
        Self(facts)
    }
}

fn parsed(look: &str) -> Value {
    serde_json::from_str(look).unwrap_or_default()
}

fn started(look: &Value) -> Map<String, Value> {
    let mut facts = Map::new();
    facts.insert("webgpu".into(), look["gpu"].as_bool().unwrap_or(false).into());
    if let Some(adapter) = look.get("adapter") {
        facts.insert("adapter".into(), adapter.clone());
    }
    facts
}

fn obstacle(look: &Value) -> Option<(&'static str, String)> {
    if look["gpu"].as_bool() != Some(true) {
        let insecure = look["secure"].as_bool() == Some(false);
        let (cause, reason) = if insecure { ("insecure", INSECURE) } else { ("no-webgpu", NO_WEBGPU) };
        return Some((cause, reason.to_owned()));
    }
    if look.get("adapter").is_none() {
        let said = look["failure"].as_str().map_or_else(String::new, |said| format!(" (it says: {said})"));
        return Some(("no-adapter", format!("{NO_ADAPTER}{said}")));
    }
    None
}

fn help(cause: &str) -> Vec<&'static str> {
    match cause {
        "insecure" => vec!["Open this page over https, or from http://localhost on the machine that serves it."],
        "no-webgpu" => vec![
            "Use a current Chrome, Edge, Safari or Firefox.",
            "If it is current, switch hardware acceleration on in the browser's settings.",
            "On Linux, Chrome may need WebGPU switched on in chrome://flags (Unsafe WebGPU Support, Vulkan).",
        ],
        _ => vec![
            "Switch hardware acceleration on in the browser's settings and restart it; chrome://gpu says what is blocked and why.",
            "Update the graphics driver: old drivers are on the browser's blocklist.",
            "On a machine without a GPU use the command line, which also runs on the processor.",
        ],
    }
}

fn describe(facts: &mut Map<String, Value>, look: &Value, seen: &Capabilities, precision: Precision) {
    let subgroups = seen.subgroups.is_some() || look["subgroups"].as_bool() == Some(true);
    facts.insert("tier".into(), seen.tier.name().into());
    facts.insert("features".into(), json!({"f16": seen.f16, "subgroups": subgroups, "timestamps": seen.timestamps}));
    facts.insert(
        "limits".into(),
        json!({
            "storageBinding": seen.storage_binding,
            "buffer": seen.buffer,
            "workgroupMemory": seen.workgroup_memory,
            "invocations": seen.workgroup_invocations,
            "storageBuffers": seen.storage_buffers,
            "groups": seen.workgroups_per_dimension,
        }),
    );
    facts.insert("precision".into(), if precision == Precision::F16 { "f16" } else { "f32" }.into());
}

fn times(trial: &Trial) -> Value {
    let ms = |time: std::time::Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
    json!({"open": ms(trial.open), "first": ms(trial.first), "warm": ms(trial.warm)})
}

fn advice(look: &Value, said: &[String]) -> Vec<String> {
    let mut advice = said.to_vec();
    // Browsers round it down and never say more than 8.
    if let Some(memory) = look["memory"].as_f64().filter(|memory| *memory < LITTLE_MEMORY) {
        advice.insert(0, format!("This device says that it has {memory} GB of memory; models of full size need at least {LITTLE_MEMORY}. Use a small or quantised model pack."));
    }
    advice
}

/// Looks at the browser and tries its device; JSON. Never rejects, unless the module itself is broken.
#[wasm_bindgen(unchecked_return_type = "Promise<string>")]
pub fn facts() -> Promise {
    fault::promise(async { Ok(Facts::of_browser().await.to_json().to_string()) })
}
