// What is measured only when somebody asks: the time that translation takes, and which instructions are left to the
// interpreter. Owned by the code cache; whatever is counted anyway is in `TranslatorStatistics`.

import CHost

/// Time in the host's time-stamp ticks, and counts by row.
struct Measurement {
  private var translationTicks: UInt64 = 0
  private var begin: UInt64 = 0
  /// Both clocks at creation: their ratio is the length of a tick.
  private let firstTick = vt_host_time_stamp()
  private let firstNanosecond = Measurement.monotonic()
  private(set) var rows: [UInt16: Int] = [:]

  /// CLOCK_MONOTONIC in nanoseconds (clock_gettime(2)).
  static func monotonic() -> UInt64 {
    withUnsafeTemporaryAllocation(of: Int64.self, capacity: 2) { time in
      _ = vt_syscall6(228, 1, Int64(Int(bitPattern: time.baseAddress)), 0, 0, 0, 0)
      return UInt64(truncatingIfNeeded: time[0] &* 1_000_000_000 &+ time[1])
    }
  }

  mutating func translationBegins() { begin = vt_host_time_stamp() }
  mutating func translationEnds() { translationTicks &+= vt_host_time_stamp() &- begin }
  mutating func interprets(row: UInt16) { rows[row, default: 0] &+= 1 }

  /// Nanoseconds spent translating.
  var translationTime: Int {
    let ticks = Double(vt_host_time_stamp() &- firstTick)
    let time = Double(Measurement.monotonic() &- firstNanosecond)
    return ticks > 0 ? Int(Double(translationTicks) * (time / ticks)) : 0
  }
}

extension TranslatorEngine {
  /// Everything counted so far, by the engines of all threads.
  public var statistics: TranslatorStatistics {
    var statistics = cache.statistics
    statistics.cacheUsed = cache.used
    statistics.cacheSize = cache.capacity
    if let measurement = cache.measurement {
      statistics.translationTime = measurement.translationTime
      statistics.interpretedRows = measurement.rows
    }
    return statistics
  }
}
