// Where the guest's restartable sequences are: critical sections of code that rseq(2) promises to abort as soon as the thread is
// preempted. A section is described by 32 bytes that its code stores the address of right before it begins, so engines look at
// what code names when they decode it. They execute sections under the address space's lock: whoever cannot be
// disturbed need not be restarted (Docs/linux.md).

/// `struct rseq_cs` of <linux/rseq.h>.
public struct SectionDescriptor: Sendable, BitwiseCopyable {
  public static let size: UInt64 = 32
  /// No section is taken for one that is longer. Real ones have some dozens of bytes.
  private static let longest: UInt64 = 4096
  public let version: UInt32
  public let flags: UInt32
  public let start: UInt64
  public let length: UInt64
  /// Where execution goes on after an abort; the signature stands in front.
  public let abort: UInt64

  /// `start_ip <= address < start_ip + post_commit_offset`.
  public func contains(_ address: UInt64) -> Bool { address &- start < length }

  /// The section's code; nil for one that is empty or has no plausible size.
  public var range: Range<UInt64>? {
    length == 0 || length > SectionDescriptor.longest ? nil : start..<start &+ length
  }

  /// What the kernel demands of a descriptor before it looks at the signature (`rseq_get_rseq_cs`).
  public func isValid(below limit: UInt64) -> Bool {
    let (end, overflow) = start.addingReportingOverflow(length)
    return version == 0 && !overflow && start < limit && end < limit && abort < limit && !contains(abort)
  }
}

extension AddressSpace {
  /// What programs for x86-64 put in front of their abort handlers (RSEQ_SIG); chosen by whoever registers.
  public static let usualSignature: UInt32 = 0x5305_3053

  /// Whether `address` lies in a section that is known.
  // PERF: asked each time that an engine looks for a block.
  @inline(__always)
  public func isInSection(_ address: UInt64) -> Bool { !sections.isEmpty && sections.contains(address) }

  /// Whether a section that is known has bytes in `range`.
  public func hasSection(in range: Range<UInt64>) -> Bool { sections.overlaps(range) }

  /// Where a block that begins at `address` ends at the latest: with its section, or in front of the next one.
  public func sectionBoundary(behind address: UInt64) -> UInt64 {
    if sections.isEmpty { return .max }
    return sections.run(containing: address)?.upperBound ?? sections.start(after: address)
  }

  /// The section whose descriptor lies at `address`, which code names; nil when there is none, and when none are looked for.
  @inline(__always)
  public func section(describedAt address: UInt64) -> Range<UInt64>? {
    // The type's alignment, which compilers and assemblers keep to.
    if !findsSections || address & (SectionDescriptor.size &- 1) != 0 || address < AddressSpace.lowestAddress
    {
      return nil
    }
    return alignedSection(address)
  }

  private func alignedSection(_ address: UInt64) -> Range<UInt64>? {
    // PERF: most are numbers, and a load that faults takes microseconds.
    guard query(address) != nil, let descriptor = load(SectionDescriptor.self, at: address),
      descriptor.flags == 0,
      descriptor.isValid(below: limit),
      load(UInt32.self, at: descriptor.abort &- 4) == AddressSpace.usualSignature
    else { return nil }
    return descriptor.range
  }

  /// Code in `range` is a section from now on. False when that was known; else what has been decoded there is to be forgotten.
  public func addSection(_ range: Range<UInt64>) -> Bool {
    if let known = sections.run(containing: range.lowerBound), known.upperBound >= range.upperBound {
      return false
    }
    sections.insert(range)
    return true
  }
}
