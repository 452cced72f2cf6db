//! Tables on the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Formats a table without lines; columns of numbers are right-aligned, and no cell is truncated.
pub fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let mut cells = rows.iter().filter_map(|row| row.get(index)).filter(|cell| !cell.is_empty()).peekable();
        if cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_right_aligned() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bc".to_owned(), "20".to_owned()]];
        let text = table(&["run".to_owned(), "epochs".to_owned()], &rows);
        assert_eq!(text, "run  epochs\na         1\nbc       20\n");
    }
}
