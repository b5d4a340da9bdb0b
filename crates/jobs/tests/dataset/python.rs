//! What Python reads of a data set is what was written.

use std::path::Path;
use std::process::Command;

use explanation_jobs::dataset::read;
use explanation_jobs::{DataRow, DataSet, Opening, Shard};
use serde_json::{Value, json};

use crate::support;

/// What pyarrow calls the types of the columns.
fn schema() -> Value {
    let (texts, longs) = ("list<element: string not null>", "list<element: int64 not null>");
    let (ints, doubles) = ("list<element: int32 not null>", "list<element: double not null>");
    json!({
        "id": "string", "index": "int64", "kind": "string", "asked": "string", "text": "string",
        "positions": longs, "start": "int64", "end": "int64", "probability": "double", "log_ratio": "double",
        "image_share": "double",
        "picture": ints, "region": "list<element: list<element: double not null> not null>",
        "grid_rows": ints, "grid_columns": ints, "maps": "list<element: list<element: float not null> not null>",
        "text_positions": longs, "text_relevancy": "list<element: float not null>",
        "region_names": texts, "region_shares": doubles, "gain_blanks": texts, "gain_nats": doubles,
        "depends_on_picture": "string", "certificate_operator": texts, "certificate_srg": "list<element: double>",
        "certificate_p": "list<element: double>", "certificate_ahead": "list<element: bool>",
        "answer": "string", "trace": "string", "stop": "string", "model": "string", "model_sha256": texts,
        "pictures_sha256": texts, "settings": "string", "notes": texts, "seconds": "double", "program": "string",
        "error_kind": "string", "error_message": "string", "thumbnail": "binary",
    })
}

#[test]
fn python_reads_the_parts_as_one_table() {
    let Some(python) = support::python("pyarrow.parquet") else { return };
    let folder = tempfile::tempdir().unwrap();
    let opening = Opening { retry_errors: false, rows_of_a_part: 9 };
    for shard in (0..2).map(|index| Shard::new(index, 2).unwrap()) {
        let mut set = DataSet::open(folder.path(), &support::header(), shard, opening).unwrap();
        for outcome in (0..30).map(support::outcome).filter(|outcome| shard.has(&outcome.id)) {
            set.add(&outcome, &[Some(vec![1, 2, 255])]).unwrap();
        }
        set.finish().unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dataset/read_parts.py");
    let results = folder.path().join("results");
    let output = Command::new(python).arg(script).arg(results).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["schema"], schema());
    let mut rows: Vec<DataRow> = read(folder.path()).unwrap().map(Result::unwrap).collect();
    rows.sort_by(|a, b| (&a.id, a.index).cmp(&(&b.id, b.index)));
    assert_eq!(rows.len(), found["rows"].as_array().unwrap().len());
    for (row, found) in rows.iter().zip(found["rows"].as_array().unwrap()) {
        assert_eq!(found["id"], row.id);
        assert_eq!(found["kind"], row.kind.name());
        let message = row.problem.as_ref().map(|problem| &problem.message);
        assert_eq!(found["error_message"], json!(message));
        assert_eq!(found["seconds"], json!(row.run.as_ref().map(|run| run.seconds)));
        assert_eq!(found["thumbnail_bytes"], json!(row.thumbnail));
        let Some(row) = &row.row else {
            assert_eq!((&found["maps"], &found["text"]), (&json!([]), &Value::Null));
            continue;
        };
        let maps: Vec<Vec<f64>> = row
            .maps
            .iter()
            .map(|map| map.values.iter().map(|value| f64::from(*value)).collect())
            .collect();
        assert_eq!(found["maps"], json!(maps));
        assert_eq!(found["region"], json!([row.maps[0].region, row.maps[1].region]));
        assert_eq!(found["grid_columns"], json!([2, 1]));
        assert_eq!(found["probability"], json!(row.probability));
        assert_eq!(found["region_names"], json!(["left", "right"]));
        assert_eq!(found["certificate_ahead"], json!([true, null]));
        assert_eq!(found["certificate_srg"], json!([0.2, null]));
    }
}
