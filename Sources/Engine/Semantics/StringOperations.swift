// String instructions. `E` is the width of an element, `A` that of addresses. The work is the backend's: an interpreter
// moves whole pages at a time, and only it can keep the iterations that were complete when a page faults.

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  @inline(__always) public static func movs<B: Backend, E: Width, A: Width>(
    _ b: inout B, _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    b.moveString(E.self, A.self, repetition, segment)
  }

  @inline(__always) public static func stos<B: Backend, E: Width, A: Width>(
    _ b: inout B, _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    b.storeString(E.self, A.self, repetition)
  }

  @inline(__always) public static func lods<B: Backend, E: Width, A: Width>(
    _ b: inout B, _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    b.loadString(E.self, A.self, repetition, segment)
  }

  @inline(__always) public static func cmps<B: Backend, E: Width, A: Width>(
    _ b: inout B, _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    b.compareString(E.self, A.self, repetition, segment)
  }

  @inline(__always) public static func scas<B: Backend, E: Width, A: Width>(
    _ b: inout B, _ element: E.Type, _ address: A.Type, _ repetition: Repetition, _ segment: ImplicitSegment
  ) {
    b.scanString(E.self, A.self, repetition)
  }
}
