//! `maquette verify`: does this machine compute what it should?

use maquette::verify::{Bound, BuiltinGoldens, GoldenFiles, GoldenFolder, Row, Verdict, VerifyOptions, verify};
use maquette::{Error, Precision};

use crate::args::{DtypeArg, Verify};
use crate::device::{self, Opened};
use crate::report::{self, Failure};

pub fn run(args: &Verify) -> Result<(), Failure> {
    let Opened { gpu, note, pipelines: _held } = device::open(&args.device)?;
    let precision = match args.dtype {
        DtypeArg::F32 => Precision::F32,
        DtypeArg::F16 if device::half(&gpu) => Precision::F16,
        DtypeArg::F16 => return Err(device::no_half()),
    };
    let files: Box<dyn GoldenFiles> = match &args.goldens {
        Some(folder) => Box::new(GoldenFolder::new(folder)),
        None => Box::new(BuiltinGoldens),
    };
    let options = VerifyOptions { device: gpu.device().clone(), precision, only: None, module_bound: args.bound };
    if !args.json {
        let tier = gpu.capabilities().tier;
        let note = note.map(|n| format!("note: {n}\n")).unwrap_or_default();
        let precision = format!("{precision:?}").to_lowercase();
        report::print(&format!("{note}{} on tier {tier}, {precision}\n{}\n", files.origin(), heading()))?;
    }
    let mut show = |row: &Row| {
        if !args.json {
            // The report at the end repeats whatever a closed pipe hides here.
            let _ = report::print(&line(row));
        }
    };
    let outcome = gpu.guard(|| pollster::block_on(verify(&*files, &options, &mut show)).map_err(Box::new))?;
    let outcome = outcome.map_err(|e| {
        let path = args.goldens.clone().unwrap_or_default();
        Failure::from(Error::StageFile { path, problem: e.to_string() })
    })?;
    let failed = outcome.rows.iter().filter(|row| row.verdict != Verdict::Pass).count();
    if args.json {
        let value = serde_json::json!({
            "origin": files.origin(), "tier": gpu.capabilities().tier.name(), "passed": outcome.passed(),
            "failed": failed, "rows": outcome.rows,
        });
        report::print(&format!("{value}\n"))?;
    } else {
        report::print(&format!("{} comparisons, {failed} failed\n", outcome.rows.len()))?;
    }
    if outcome.passed() {
        return Ok(());
    }
    Err(Error::NumbersDiffer { failed, all: outcome.rows.len() }.into())
}

fn heading() -> String {
    format!("{:<34} {:<22} {:>9} {:>9} {:>9}", "case", "tensor", "max abs", "relative", "bound")
}

fn line(row: &Row) -> String {
    let bound = match row.bound {
        Bound::Relative(b) => format!("{b:.0e}"),
        Bound::Absolute(b) => format!("|{b:.0e}|"),
        Bound::Identical => "equal".to_owned(),
    };
    let verdict = match row.verdict {
        Verdict::Pass => "ok",
        Verdict::Fail => "FAIL",
        Verdict::Error => "ERROR",
    };
    let note = row.note.as_ref().map(|n| format!("  {n}")).unwrap_or_default();
    format!(
        "{:<34} {:<22} {:>9.1e} {:>9.1e} {bound:>9} {verdict}{note}\n",
        row.case, row.tensor, row.max_abs, row.relative
    )
}
