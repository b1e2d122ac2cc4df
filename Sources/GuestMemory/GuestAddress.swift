// The vocabulary of guest memory: addresses, typed pointers, permissions and errors. Pure values; nothing here touches
// memory. A guest address never becomes a host pointer except through `AddressSpace`.

/// An address as the guest computes it: any 64-bit value, valid or not.
@frozen public struct GuestAddress: Hashable, Comparable, Sendable, BitwiseCopyable {
  /// The address, in bytes.
  public var value: UInt64

  @inlinable public init(_ value: UInt64) { self.value = value }

  /// The null address.
  public static var null: GuestAddress { GuestAddress(0) }

  /// True for address 0.
  @inlinable public var isNull: Bool { value == 0 }

  @inlinable public static func < (left: GuestAddress, right: GuestAddress) -> Bool {
    left.value < right.value
  }

  /// The address `bytes` further, wrapping as the guest's arithmetic does.
  @inlinable public static func + (left: GuestAddress, bytes: UInt64) -> GuestAddress {
    GuestAddress(left.value &+ bytes)
  }
}

/// A guest's pointer to a `Pointee`: a claim, not access. Reading and writing go through `AddressSpace`, which checks.
@frozen public struct GuestPointer<Pointee: BitwiseCopyable>: BitwiseCopyable, Sendable {
  public var address: GuestAddress

  @inlinable public init(_ address: GuestAddress) { self.address = address }
  @inlinable public init(_ value: UInt64) { self.address = GuestAddress(value) }

  /// True for the null pointer.
  @inlinable public var isNull: Bool { address.isNull }

  /// The pointer to the element `index` strides further.
  @inlinable public func advanced(by index: Int) -> GuestPointer {
    let stride = UInt64(truncatingIfNeeded: MemoryLayout<Pointee>.stride)
    return GuestPointer(address.value &+ UInt64(truncatingIfNeeded: index) &* stride)
  }
}

/// What the guest may do with a page. Bits as in `PROT_READ`, `PROT_WRITE`, `PROT_EXEC` (mmap(2)).
@frozen public struct Permissions: OptionSet, Sendable, Hashable, BitwiseCopyable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static var read: Permissions { Permissions(rawValue: 1) }
  public static var write: Permissions { Permissions(rawValue: 2) }
  public static var execute: Permissions { Permissions(rawValue: 4) }
}

/// A refused memory operation; `number` is the Linux errno (errno(3)).
public struct MemoryError: Error, Equatable, Sendable {
  public let number: Int32

  public init(_ number: Int32) { self.number = number }

  public static var notPermitted: MemoryError { MemoryError(1) }
  public static var noMemory: MemoryError { MemoryError(12) }
  public static var badAddress: MemoryError { MemoryError(14) }
  public static var exists: MemoryError { MemoryError(17) }
  public static var invalid: MemoryError { MemoryError(22) }
  public static var nameTooLong: MemoryError { MemoryError(36) }
  public static var overflow: MemoryError { MemoryError(75) }
}

/// Sizes of x86-64 pages. Guest pages are 4 KiB on every host.
public enum Page {
  public static var size: UInt64 { 4096 }
  public static var mask: UInt64 { 4095 }
  public static var shift: UInt64 { 12 }

  /// `address` rounded down to a page boundary.
  @inlinable public static func down(_ address: UInt64) -> UInt64 { address & ~4095 }

  /// `address` rounded up to a page boundary; nil when that is beyond 2^64.
  @inlinable public static func up(_ address: UInt64) -> UInt64? {
    let (sum, overflow) = address.addingReportingOverflow(4095)
    return overflow ? nil : sum & ~4095
  }
}
