// How long a thread may stay in critical sections (GuestMemory/CriticalSections.swift): others want the lock, too.

import GuestMemory

/// Counts what a thread executes in critical sections, under the lock.
public struct SectionTurns {
  private var count: UInt64 = 0
  /// After so many, less one, others get the lock.
  private static let most: UInt64 = 0xfff

  public init() {}

  /// To be asked before each of them. True once in a while, for a section that does not end: others have had the lock, so the section is
  /// to be aborted.
  public mutating func overstay(_ memory: AddressSpace) -> Bool {
    count &+= 1
    if count & SectionTurns.most != 0 { return false }
    memory.yieldLock()
    return true
  }
}
