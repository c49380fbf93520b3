//! What is said when memory of the device ran out: what is needed, what there is, and what to lower.

use crate::diag::{Code, Diagnostic, bytes};
use crate::kernels::Device;
use crate::native::cuda::{Gpu, gpu};
use crate::plan::{Memory, Plan};
use crate::spec::Precision;

/// Adds to problems of a run on the device what the run needs and what there is. By now nothing of the run lies there any more.
pub(in crate::runtime) fn explain(plan: &Plan, problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    explain_with(plan, problems, &|| plan.device_memory().ok().flatten())
}

/// The same, where what is needed is known otherwise.
pub(in crate::runtime) fn explain_with(
    plan: &Plan,
    problems: Vec<Diagnostic>,
    needed: &dyn Fn() -> Option<Memory>,
) -> Vec<Diagnostic> {
    let ran_out = |problem: &Diagnostic| problem.code() == Code::OutOfMemory && plan.target.device == Device::Cuda;
    let said = |problem: Diagnostic| {
        if !ran_out(&problem) {
            return problem;
        }
        let there = gpu().ok().and_then(Gpu::memory);
        with_memory(problem, needed().as_ref(), there, plan.target.precision)
    };
    problems.into_iter().map(said).collect()
}

fn with_memory(
    mut problem: Diagnostic,
    needed: Option<&Memory>,
    there: Option<(usize, usize)>,
    precision: Precision,
) -> Diagnostic {
    if let Some(needed) = needed {
        problem = problem.note(format!("on the GPU the run needs {}", needed.describe()));
    }
    if let Some((free, total)) = there {
        let (free, total) = (bytes(free as u64), bytes(total as u64));
        problem = problem.note(format!("the GPU has {total}; without this run {free} of that are free"));
    }
    let half = match precision {
        Precision::F32 | Precision::Tf32 => ", `runtime: {precision: bf16}`",
        Precision::F16 | Precision::Bf16 => "",
    };
    problem.help(format!(
        "lower `schedule.batch` and raise `accumulate`, which keeps the step the same{half}, or freeze more of the network; \
         `pipe plan` estimates what that needs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_what_there_is_and_what_to_lower_are_said() {
        let said = |precision| {
            let problem =
                Diagnostic::error(Code::OutOfMemory, "not enough memory of the GPU to run a graph").help("old");
            with_memory(problem, Some(&Memory::default()), Some((3 << 30, 80 << 30)), precision)
        };
        let problem = said(Precision::F32);
        assert!(problem.notes()[0].starts_with("on the GPU the run needs about 0 B"), "{:?}", problem.notes());
        assert_eq!(problem.notes()[1], "the GPU has 80.0 GiB; without this run 3.0 GiB of that are free");
        let help = problem.help_text().unwrap_or_default().to_owned();
        for word in ["schedule.batch", "accumulate", "bf16", "freeze"] {
            assert!(help.contains(word), "{help}");
        }
        assert!(!said(Precision::F16).help_text().unwrap_or_default().contains("bf16"));
    }
}
