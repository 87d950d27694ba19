//! From the kernel's clock to the times of rows.

use std::{fmt::Write as _, mem::MaybeUninit};

use jiff::{Timestamp, tz::TimeZone};

use super::{number, options::TimeColumn, schema::Align};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Times are taken from the kernel in nanoseconds and written in microseconds.
const NANOS_PER_MICRO: i64 = 1_000;

/// Turns the kernel's `bpf_ktime_get_ns`, which is CLOCK_MONOTONIC, into the time of day.
///
/// The distance of the two clocks is taken once, so that the times of a run stay in order whatever
/// becomes of the time of day; after a suspend, during which the kernel's clock stands still, they
/// are behind by its length.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What to add to the monotonic time for the nanoseconds since 1970.
    offset_ns: i64,
    start_ns: u64,
}

impl Clock {
    /// A clock whose run starts now.
    pub fn now() -> Self {
        /// The closest pair of readings counts: between others the process may have been stopped.
        const TRIES: usize = 5;
        let start_ns = Self::monotonic_ns();
        let closest = (0..TRIES).map(|_| Reading::take()).min_by_key(Reading::spread_ns);
        let offset_ns = closest.map_or(0, |reading| reading.offset_ns());
        Self { offset_ns, start_ns }
    }

    /// A clock of a recording, whose times are those of day already.
    pub const fn unix(start_ns: u64) -> Self {
        Self { offset_ns: 0, start_ns }
    }

    /// The kernel's time now, for rows that no event made: summaries, intervals.
    pub fn monotonic_ns() -> u64 {
        read(libc::CLOCK_MONOTONIC).cast_unsigned()
    }

    /// The nanoseconds since 1970 of a kernel's time.
    fn unix_ns(&self, time_ns: u64) -> i64 {
        time_ns.cast_signed().saturating_add(self.offset_ns)
    }

    #[cfg(test)]
    pub(super) const fn fixed(offset_ns: i64, start_ns: u64) -> Self {
        Self { offset_ns, start_ns }
    }
}

/// The time of day between two readings of the monotonic clock.
struct Reading {
    before_ns: i64,
    realtime_ns: i64,
    after_ns: i64,
}

impl Reading {
    fn take() -> Self {
        Self {
            before_ns: read(libc::CLOCK_MONOTONIC),
            realtime_ns: read(libc::CLOCK_REALTIME),
            after_ns: read(libc::CLOCK_MONOTONIC),
        }
    }

    fn spread_ns(&self) -> i64 {
        self.after_ns - self.before_ns
    }

    fn offset_ns(&self) -> i64 {
        self.realtime_ns - (self.before_ns + self.spread_ns() / 2)
    }
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to a timespec of ours. The call fails for no clock that exists; if it
    // did, the zeroes are a timespec as well.
    let time = unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec * NANOS_PER_SECOND + time.tv_nsec
}

/// Writes the time of rows in one form.
pub(super) struct TimeWriter {
    clock: Clock,
    form: Form,
}

enum Form {
    Calendar(Calendar),
    Unix,
    Rel,
    Delta { previous_ns: Option<u64> },
}

impl TimeWriter {
    /// The writer of the machine formats' `ts`.
    pub(super) fn ts(clock: Clock) -> Self {
        let form = Form::Calendar(Calendar::new(Style::Utc, TimeZone::UTC));
        Self { clock, form }
    }

    /// The writer of a table's time column, if it has one.
    pub(super) fn column(column: TimeColumn, clock: Clock) -> Option<Self> {
        let local = |style| Form::Calendar(Calendar::new(style, TimeZone::system()));
        let form = match column {
            TimeColumn::Off => return None,
            TimeColumn::Wall => local(Style::Wall),
            TimeColumn::Iso => local(Style::Iso),
            TimeColumn::Rel => Form::Rel,
            TimeColumn::Delta => Form::Delta { previous_ns: None },
            TimeColumn::Unix => Form::Unix,
        };
        Some(Self { clock, form })
    }

    pub(super) fn write(&mut self, out: &mut Vec<u8>, time_ns: u64) {
        match &mut self.form {
            Form::Calendar(calendar) => calendar.write(out, self.clock.unix_ns(time_ns)),
            Form::Unix => seconds(out, self.clock.unix_ns(time_ns)),
            Form::Rel => seconds(out, difference(time_ns, self.clock.start_ns)),
            Form::Delta { previous_ns } => {
                let previous = previous_ns.replace(time_ns).unwrap_or(time_ns);
                seconds(out, difference(time_ns, previous));
            }
        }
    }

    /// The width of nearly all times: those of the calendar and of our time are always as wide,
    /// and a run seldom lasts longer than eleven days.
    pub(super) fn width(&self) -> usize {
        match &self.form {
            Form::Calendar(calendar) => calendar.style.width(),
            Form::Unix => "1767366245.123456".len(),
            Form::Rel | Form::Delta { .. } => "999999.123456".len(),
        }
    }

    pub(super) fn align(&self) -> Align {
        match &self.form {
            Form::Calendar(_) => Align::Left,
            Form::Unix | Form::Rel | Form::Delta { .. } => Align::Right,
        }
    }
}

/// Events of different CPUs may come in another order than they happened: a difference has a sign.
fn difference(later_ns: u64, earlier_ns: u64) -> i64 {
    later_ns.wrapping_sub(earlier_ns).cast_signed()
}

fn seconds(out: &mut Vec<u8>, nanos: i64) {
    number::seconds(out, nanos / NANOS_PER_MICRO);
}

/// Writes times of the calendar. Only a new second is calculated: the text around the microseconds
/// is kept.
struct Calendar {
    style: Style,
    zone: TimeZone,
    second: Option<i64>,
    before: String,
    after: String,
}

#[derive(Clone, Copy)]
enum Style {
    Utc,
    Wall,
    Iso,
}

impl Style {
    fn width(self) -> usize {
        match self {
            Self::Utc => "2026-01-02T15:04:05.123456Z".len(),
            Self::Wall => "15:04:05.123456".len(),
            Self::Iso => "2026-01-02T15:04:05.123456+01:00".len(),
        }
    }
}

impl Calendar {
    fn new(style: Style, zone: TimeZone) -> Self {
        Self { style, zone, second: None, before: String::new(), after: String::new() }
    }

    fn write(&mut self, out: &mut Vec<u8>, unix_ns: i64) {
        let second = unix_ns.div_euclid(NANOS_PER_SECOND);
        let micros = unix_ns.rem_euclid(NANOS_PER_SECOND) / NANOS_PER_MICRO;
        if self.second != Some(second) {
            self.turn_to(second);
        }
        out.extend_from_slice(self.before.as_bytes());
        number::zero_padded(out, micros.unsigned_abs(), 6);
        out.extend_from_slice(self.after.as_bytes());
    }

    fn turn_to(&mut self, second: i64) {
        // An i64 of nanoseconds reaches from 1677 to 2262, far less than a Timestamp.
        let timestamp = Timestamp::from_second(second).unwrap_or_default();
        let offset = self.zone.to_offset(timestamp);
        let time = offset.to_datetime(timestamp);
        self.second = Some(second);
        self.before.clear();
        self.after.clear();
        if !matches!(self.style, Style::Wall) {
            // Writing to a String cannot fail, here and below.
            let _ = write!(self.before, "{}T", time.date());
        }
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let _ = write!(self.before, "{hour:02}:{minute:02}:{second:02}.");
        match self.style {
            Style::Utc => self.after.push('Z'),
            Style::Wall => {}
            Style::Iso => {
                let sign = if offset.is_negative() { '-' } else { '+' };
                let minutes = offset.seconds().unsigned_abs() / 60;
                let _ = write!(self.after, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    /// 2026-01-02T15:04:05.123456789Z
    const UNIX_NS: i64 = 1_767_366_245_123_456_789;

    fn utc() -> Calendar {
        Calendar::new(Style::Utc, TimeZone::UTC)
    }

    fn calendar(mut calendar: Calendar, unix_ns: i64) -> String {
        let mut out = Vec::new();
        calendar.write(&mut out, unix_ns);
        String::from_utf8(out).unwrap()
    }

    fn table(time: TimeColumn, times: &[u64]) -> Vec<String> {
        let clock = Clock::fixed(UNIX_NS - 5_000_000_000, 2_000_000_000);
        let mut writer = TimeWriter::column(time, clock).unwrap();
        let text = |&time_ns: &u64| {
            let mut out = Vec::new();
            writer.write(&mut out, time_ns);
            String::from_utf8(out).unwrap()
        };
        times.iter().map(text).collect()
    }

    fn zone(minutes: i32) -> TimeZone {
        TimeZone::fixed(Offset::from_seconds(minutes * 60).unwrap())
    }

    #[test]
    fn calendar_times() {
        assert_eq!(calendar(utc(), UNIX_NS), "2026-01-02T15:04:05.123456Z");
        let wall = Calendar::new(Style::Wall, zone(60));
        assert_eq!(calendar(wall, UNIX_NS), "16:04:05.123456");
        let iso = Calendar::new(Style::Iso, zone(-210));
        assert_eq!(calendar(iso, UNIX_NS), "2026-01-02T11:34:05.123456-03:30");
        let iso = Calendar::new(Style::Iso, zone(600));
        assert_eq!(calendar(iso, UNIX_NS), "2026-01-03T01:04:05.123456+10:00");
    }

    #[test]
    fn extreme_times_are_written() {
        assert_eq!(calendar(utc(), -1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(calendar(utc(), i64::MAX), "2262-04-11T23:47:16.854775Z");
        assert_eq!(calendar(utc(), i64::MIN), "1677-09-21T00:12:43.145224Z");
    }

    #[test]
    fn the_second_turns_both_ways() {
        let mut calendar = utc();
        let mut out = Vec::new();
        for second in [1, 2, 1] {
            calendar.write(&mut out, second * NANOS_PER_SECOND);
        }
        let expected = "1970-01-01T00:00:01.000000Z\
                        1970-01-01T00:00:02.000000Z\
                        1970-01-01T00:00:01.000000Z";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn seconds_of_the_run() {
        let times = [2_000_000_000, 3_500_001_999, 3_400_000_000];
        let rel = ["0.000000", "1.500001", "1.400000"];
        assert_eq!(table(TimeColumn::Rel, &times), rel);
        let delta = ["0.000000", "1.500001", "-0.100001"];
        assert_eq!(table(TimeColumn::Delta, &times), delta);
    }

    #[test]
    fn seconds_since_1970() {
        let unix = table(TimeColumn::Unix, &[5_000_000_000]);
        assert_eq!(unix, ["1767366245.123456"]);
    }

    #[test]
    fn the_clock_agrees_with_the_time_of_day() {
        let clock = Clock::now();
        let now = clock.unix_ns(Clock::monotonic_ns());
        let distance = (now - read(libc::CLOCK_REALTIME)).abs();
        assert!(distance < NANOS_PER_SECOND, "{distance} ns apart");
    }
}
