//! What is on both sides, section by section.

use serde_json::json;
use switchboard_core::transfer::{Compared, Moved, Tally};

use crate::{Failure, output};

/// Prints every section, with its rows and whether the checksums are equal.
pub(super) fn print(moved: &Moved, json: bool) -> Result<(), Failure> {
    if json {
        let side = |it: &Tally| json!({"rows": it.rows, "checksum": checksum(it)});
        let section = |it: &Compared| {
            json!({
                "section": it.section.as_str(),
                "there": side(&it.there),
                "here": side(&it.here),
                "equal": it.is_equal(),
            })
        };
        let sections: Vec<_> = moved.sections.iter().map(section).collect();
        let all = json!({
            "before": moved.before,
            "equal": moved.is_equal(),
            "sections": sections,
        });
        return output::line(format_args!("{all}"));
    }
    let head = ["section", "rows there", "rows here"];
    output::line(format_args!("{:<12} {:>14} {:>14}  checksums", head[0], head[1], head[2]))?;
    for Compared { section, there, here } in &moved.sections {
        let (there_rows, here_rows) = (there.rows, here.rows);
        let told = if there == here { "equal" } else { "NOT EQUAL" };
        output::line(format_args!("{section:<12} {there_rows:>14} {here_rows:>14}  {told}"))?;
    }
    Ok(())
}

fn checksum(tally: &Tally) -> String {
    format!("{:032x}", tally.checksum)
}
