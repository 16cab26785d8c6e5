//! The parameter file: what was measured and fitted, on which machine.
//!
//! YAML, read back with every field checked. Times are seconds, rates per second.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use springtide_capacity::plant::predict::Plant;
use springtide_capacity::plant::usl::{Point, Usl};
use springtide_capacity::plant::{Demand, Processors};

use super::CalibrateError;
use super::machine::Machine;
use crate::class::Class;

/// The form of files that this build writes and reads.
pub const FORM: u32 = 1;
const MOST_BYTES: u64 = 1 << 20;

/// A calibrated plant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantFile {
    /// [`FORM`].
    pub form: u32,
    /// When, in seconds since 1970.
    pub made: i64,
    /// Which environment.
    pub environment: String,
    /// Where.
    pub machine: Machine,
    /// Web workers while it was measured.
    pub workers: u32,
    /// The processors as the model has them.
    pub processors: Processors,
    /// What of the sweep the processors do not explain.
    pub law: Usl,
    /// The scalability law of the sweep as it is, with the processors' end in it; none if it could not be
    /// fitted.
    pub sweep_law: Option<Usl>,
    /// Each class that was measured.
    pub classes: BTreeMap<Class, ClassFit>,
    /// Which class was swept.
    pub swept: Class,
    /// The sweep: clients at once, acts per second.
    pub sweep: Vec<Point>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// What was measured of one class with one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFit {
    /// The fitted demand.
    pub demand: Demand,
    /// Acts that were done.
    pub done: u32,
    /// Acts that were not; they are in the processor time and not in the latencies.
    pub failed: u32,
    /// Median latency, in seconds.
    pub p50: f64,
    /// 95th percentile, in seconds.
    pub p95: f64,
}

impl PlantFile {
    /// The model that it gives.
    pub fn plant(&self) -> Plant {
        Plant { processors: self.processors, law: self.law }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: &Path) -> Result<(), CalibrateError> {
        let failed = |why: String| CalibrateError::File { path: path.display().to_string(), why };
        let text = serde_saphyr::to_string(self).map_err(|why| failed(why.to_string()))?;
        let mut aside = path.as_os_str().to_owned();
        aside.push(".part");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&aside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&aside, path)
        };
        write().map_err(|why| failed(why.to_string()))
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is no parameter file, of another form, or holds numbers that make no sense.
    pub fn read(path: &Path) -> Result<PlantFile, CalibrateError> {
        let failed = |why: String| CalibrateError::File { path: path.display().to_string(), why };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|why| failed(why.to_string()))?;
        let size = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|why| failed(why.to_string()))?;
        if size as u64 > MOST_BYTES {
            return Err(failed(format!("it is longer than {MOST_BYTES} bytes")));
        }
        let read: PlantFile = serde_saphyr::from_str(&text).map_err(|why| failed(why.to_string()))?;
        if read.form != FORM {
            return Err(failed(format!("it is of form {}, this build reads form {FORM}; calibrate again", read.form)));
        }
        for (class, fit) in &read.classes {
            if let Some(why) = fit.demand.fault() {
                return Err(failed(format!("{class}: {why}")));
            }
        }
        let law = [read.law.lambda, read.law.sigma, read.law.kappa];
        if read.classes.is_empty() || law.iter().any(|value| !value.is_finite() || *value < 0.0) {
            return Err(failed("it has no classes, or a law that is below 0".into()));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_refused() {
        let demand = Demand { app: 0.205, db: 0.11, wait: 0.03, sigma: 0.4, retries: 0.02 };
        let fit = ClassFit { demand, done: 200, failed: 1, p50: 0.33, p95: 0.6 };
        let law = Usl { lambda: 2.9, sigma: 0.03, kappa: 0.001 };
        let file = PlantFile {
            form: FORM,
            made: 1_795_000_000,
            environment: "prod".into(),
            machine: Machine::here(BTreeMap::from([("odoo".into(), "19.0: a \"quoted\" one".into())])),
            workers: 4,
            processors: Processors::Shared(2),
            law,
            sweep_law: None,
            classes: BTreeMap::from([(Class::Order, fit.clone()), (Class::OrderApi, fit)]),
            swept: Class::Order,
            sweep: vec![Point { at_once: 1.0, throughput: 2.9 }],
            notes: vec!["# not a comment".into()],
        };
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("plant.yaml");
        file.write(&path).unwrap();
        assert_eq!(PlantFile::read(&path).unwrap(), file);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("form: 1", "form: 2"), ("app: 0.205", "app: -1.0"), ("made:", "maid:"), ("sigma: 0.03", "sigma: .nan")]
        {
            assert!(text.contains(from), "{from} in {text}");
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert_eq!(PlantFile::read(&path).unwrap_err().code(), "E0974", "{to}");
        }
        assert!(PlantFile::read(&folder.path().join("none")).is_err());
        let apart = PlantFile { processors: Processors::Apart { app: 1, db: 1 }, ..file };
        apart.write(&path).unwrap();
        assert_eq!(PlantFile::read(&path).unwrap(), apart);
    }
}
