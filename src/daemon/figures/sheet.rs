//! Metrics as Prometheus's text.

use prometheus::{Counter, GaugeVec, IntCounterVec, Opts, Registry};

/// Metrics on their way to the text.
pub(super) struct Sheet {
    pub(super) registry: Registry,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            registry: Registry::new(),
        }
    }
}

pub(super) type Row<'a> = (&'a [&'a str], f64);

impl Sheet {
    pub(super) fn options(name: &str, help: &str) -> Opts {
        Opts::new(format!("mesos_volumed_{name}"), help)
    }

    pub(super) fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        rows: &[Row<'_>],
    ) -> Result<(), prometheus::Error> {
        let gauge = GaugeVec::new(Self::options(name, help), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        for (values, number) in rows {
            gauge.get_metric_with_label_values(values)?.set(*number);
        }
        Ok(())
    }

    pub(super) fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        rows: &[(&[&str], u64)],
    ) -> Result<(), prometheus::Error> {
        let counter = IntCounterVec::new(Self::options(name, help), labels)?;
        self.registry.register(Box::new(counter.clone()))?;
        for (values, number) in rows {
            counter
                .get_metric_with_label_values(values)?
                .inc_by(*number);
        }
        Ok(())
    }
}

/// Numbers of bytes beyond 2^53 lose their last digits, as everywhere in Prometheus.
pub(super) fn number(count: u64) -> f64 {
    let high = u32::try_from(count >> 32_u32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high).mul_add(4_294_967_296.0, f64::from(low))
}

pub(super) fn seconds(count: i64) -> f64 {
    number(u64::try_from(count).unwrap_or(0))
}

impl Sheet {
    /// A gauge with one label, in the order of the words.
    pub(super) fn by_word<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), prometheus::Error> {
        let counts: Vec<([&str; 1], f64)> = counts
            .into_iter()
            .map(|(word, count)| ([word], count))
            .collect();
        let rows: Vec<Row<'_>> = counts
            .iter()
            .map(|(word, count)| (&word[..], *count))
            .collect();
        self.gauge(name, help, &[label], &rows)
    }

    /// A counter of seconds, which are no whole number.
    pub(super) fn seconds_total(
        &self,
        name: &str,
        help: &str,
        value: f64,
    ) -> Result<(), prometheus::Error> {
        let counter = Counter::with_opts(Self::options(name, help))?;
        counter.inc_by(value);
        self.registry.register(Box::new(counter))
    }

    /// A gauge without labels.
    pub(super) fn plain(
        &self,
        name: &str,
        help: &str,
        value: f64,
    ) -> Result<(), prometheus::Error> {
        self.gauge(name, help, &[], &[(&[], value)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_of_bytes_stay_what_they_are() {
        for bytes in [0, 1, u64::from(u32::MAX), 1 << 40, (1 << 52) + 1] {
            assert_eq!(format!("{}", number(bytes)), bytes.to_string());
        }
    }
}
