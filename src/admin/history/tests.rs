use super::*;

/// A full hour.
const NOON: i64 = 1_764_000_000_000;

fn at(seconds: i64) -> Time {
    Time::from_millis(NOON + seconds * 1_000)
}

fn point(seconds: i64, number: i64) -> StatsPoint {
    #[allow(clippy::cast_precision_loss)]
    let cpu_percent = number as f64;
    StatsPoint {
        at: at(seconds),
        system: SystemStats {
            uptime_seconds: number,
            cpu_percent,
            cpu_cores: 4,
            ram_used: number * 10,
            ram_total: 1_000,
            disk_used: number * 100,
            disk_total: 10_000,
            net_rx_per_sec: number * 2,
            net_tx_per_sec: number * 3,
            net_rx_total: number * 1_000,
            net_tx_total: number * 2_000,
        },
    }
}

fn span(from: i64, to: i64, step: i64) -> HistorySpan {
    HistorySpan::new(at(from), at(to), Some(step)).unwrap()
}

/// The points as (seconds after noon, last uptime, mean RAM).
fn short(history: &History) -> Vec<(i64, i64, i64)> {
    let points = history.points();
    let short = points.iter().map(|point| {
        let seconds = (point.at.millis() - NOON) / 1_000;
        (seconds, point.system.uptime_seconds, point.system.ram_used)
    });
    short.collect()
}

#[test]
fn a_step_has_the_mean_of_gauges_and_the_last_of_the_rest() {
    let history = History::new(span(0, 60, 10), &[point(0, 1), point(4, 2), point(8, 6), point(30, 7)]);
    let points = history.points();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0].at, at(0));
    assert_eq!(
        points[0].system,
        SystemStats {
            uptime_seconds: 6,
            cpu_percent: 3.0,
            cpu_cores: 4,
            ram_used: 30,
            ram_total: 1_000,
            disk_used: 300,
            disk_total: 10_000,
            net_rx_per_sec: 6,
            net_tx_per_sec: 9,
            net_rx_total: 6_000,
            net_tx_total: 12_000,
        }
    );
    assert_eq!((points[1].at, points[1].system.uptime_seconds), (at(30), 7));
}

#[test]
fn the_store_has_what_memory_does_not_know() {
    let mut history = History::new(span(-180, 120, 60), &[point(30, 100), point(90, 200)]);
    assert!(history.needs_store());
    for (seconds, number) in [(-240, 1), (-180, 2), (-60, 3), (0, 50), (60, 60), (120, 70)] {
        history.add_minute(&point(seconds, number));
    }
    assert_eq!(
        short(&history),
        [(-180, 2, 20), (-60, 3, 30), (0, 100, 1_000), (60, 200, 2_000)]
    );
}

#[test]
fn a_minute_weighs_more_than_two_seconds() {
    // 45 minutes at 0 from the store, then 15 at 100 from memory: the hour's mean is a quarter.
    let lately: Vec<StatsPoint> = (0..450).map(|number| point(2_700 + number * 2, 100)).collect();
    let mut history = History::new(span(0, 3_600, 3_600), &lately);
    (0..60).for_each(|minute| history.add_minute(&point(minute * 60, 0)));
    let points = history.points();
    assert_eq!(points.len(), 1);
    assert_eq!((points[0].system.ram_used, points[0].system.uptime_seconds), (250, 100));
    assert!((points[0].system.cpu_percent - 25.0).abs() < 1e-9);
}

#[test]
fn steps_are_whole_and_all_that_the_span_touches() {
    let lately = [
        point(-1, 1),
        point(0, 2),
        point(59, 3),
        point(60, 4),
        point(119, 5),
        point(120, 6),
    ];
    assert_eq!(
        short(&History::new(span(30, 61, 60), &lately)),
        [(0, 3, 25), (60, 5, 45)]
    );
    assert_eq!(short(&History::new(span(60, 60, 60), &lately)), []);
    assert_eq!(short(&History::new(span(0, 120, 7), &lately)).len(), 3);
}

#[test]
fn memory_alone_is_enough_where_it_has_every_minute() {
    let lately = [point(90, 1), point(92, 2)];
    assert!(!History::new(span(60, 120, 2), &lately).needs_store());
    assert!(History::new(span(59, 120, 2), &lately).needs_store());
    assert!(History::new(span(90, 120, 3_600), &lately).needs_store());
    assert!(History::new(span(60, 120, 2), &[]).needs_store());
}

#[test]
fn the_step_suits_the_span() {
    let step = |seconds: i64| HistorySpan::new(at(0), at(seconds), None).map(|span| span.step_seconds());
    for (seconds, expected) in [
        (0, 2),
        (900, 2),
        (2_000, 2),
        (2_001, 10),
        (10_000, 10),
        (10_001, 60),
        (60_000, 60),
        (60_001, 300),
        (300_001, 3_600),
        (3_600_001, 86_400),
        (86_400 * 2_000, 86_400),
    ] {
        assert_eq!(step(seconds).unwrap(), expected, "{seconds}");
    }
    assert!(step(86_400 * 5_001).is_err());
    let refused = |step: i64, to: i64| match HistorySpan::new(at(0), at(to), Some(step)) {
        Err(AdminError::Invalid(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(refused(2, 10_001).starts_with("step "));
    assert!(refused(0, 1).starts_with("step "));
    assert!(refused(-5, 1).starts_with("step "));
    assert!(refused(i64::MAX, 1).starts_with("step "));
    assert!(refused(2, -1).starts_with("from "));
    assert_eq!(span(0, 10_000, 2).steps(), POINTS_MAX);
}

#[test]
fn values_at_their_limits_do_not_overflow() {
    let mut most = point(0, 0);
    most.system.ram_used = i64::MAX;
    let mut history = History::new(span(0, 3_600, 3_600), &[]);
    (0..60).for_each(|minute| {
        most.at = at(minute * 60);
        history.add_minute(&most);
    });
    assert_eq!(history.points()[0].system.ram_used, i64::MAX);
    assert!(HistorySpan::new(Time::default(), Time::from_millis(i64::MAX), Some(STEP_MAX)).is_err());
}
