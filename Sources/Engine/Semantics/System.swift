// CPUID, time, randomness, segment bases, extended state, cache lines: what user mode may ask of the processor.

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  @inline(__always) public static func cpuid<B: Backend>(_ b: inout B) { b.identify() }

  /// EDX:EAX = time stamp.
  @inline(__always) public static func rdtsc<B: Backend>(_ b: inout B) {
    let time = b.timeStamp()
    writePair(&b, time)
  }

  /// EDX:EAX = time stamp, ECX = processor number.
  @inline(__always) public static func rdtscp<B: Backend>(_ b: inout B) {
    let time = b.timeStamp()
    writePair(&b, time)
    let number = b.processorNumber()
    b.writeRegister(W32.self, 8, number)
  }

  @inline(__always) public static func rdpid<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let number = b.processorNumber()
    destination.write(&b, number)
  }

  @inline(__always) static func writePair<B: Backend>(_ b: inout B, _ value: B.Value) {
    let half = b.constant(32)
    let high = b.shiftRight(W64.self, value, half)
    b.writeRegister(W32.self, 0, value)
    b.writeRegister(W32.self, 16, high)
  }

  @inline(__always) public static func rdrand<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let number = b.randomNumber()
    destination.write(&b, number)
    // There is always a number: CF is 1, the other status flags are 0.
    let carry = b.constant(1)
    b.writeFlags(carry, mask: 0x8d5)
  }

  @inline(__always) public static func rdseed<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    rdrand(&b, destination)
  }

  /// LAR, LSL, VERR, VERW: what a selector's descriptor says. ZF: whether user code may know it.
  @inline(__always) public static func lar<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Register<W>, _ source: S
  ) {
    let selector = source.read(&b)
    let described = b.describeSegment(.accessRights, selector)
    describe(&b, destination, described)
  }

  @inline(__always) public static func lsl<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Register<W>, _ source: S
  ) {
    let selector = source.read(&b)
    let described = b.describeSegment(.limit, selector)
    describe(&b, destination, described)
  }

  @inline(__always) static func describe<B: Backend, W: Width>(
    _ b: inout B, _ destination: Register<W>, _ described: B.Value
  ) {
    let half = b.constant(32)
    let isKnown = b.shiftRight(W64.self, described, half)
    let low = b.constant(0xffff_ffff)
    let value = b.and(described, low)
    let zero = b.constant(0)
    let writes = b.less(zero, isKnown)
    b.writeRegister(if: writes, W.self, destination.offset, value)
    b.setFlag(.zero, isKnown)
  }

  @inline(__always) public static func verr<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let selector = source.read(&b)
    let answer = b.describeSegment(.readable, selector)
    b.setFlag(.zero, answer)
  }

  @inline(__always) public static func verw<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let selector = source.read(&b)
    let answer = b.describeSegment(.writable, selector)
    b.setFlag(.zero, answer)
  }

  @inline(__always) public static func rdfsbase<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let base = b.readSegmentBase(0)
    destination.write(&b, base)
  }

  @inline(__always) public static func rdgsbase<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let base = b.readSegmentBase(1)
    destination.write(&b, base)
  }

  @inline(__always) public static func wrfsbase<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let base = source.read(&b)
    b.writeSegmentBase(0, base)
  }

  @inline(__always) public static func wrgsbase<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let base = source.read(&b)
    b.writeSegmentBase(1, base)
  }

  @inline(__always) public static func xgetbv<B: Backend>(_ b: inout B) {
    let number = b.readRegister(W32.self, 8)
    let value = b.readExtendedControl(number)
    writePair(&b, value)
  }

  /// CLFLUSH, CLFLUSHOPT, CLWB: the address is checked as by a load.
  @inline(__always) public static func flushLine<B: Backend, S: AddressablePlace>(
    _ b: inout B, _ source: S
  ) {
    let address = source.address(&b)
    b.probeRead(address)
  }

  // MARK: Areas of processor state

  @inline(__always) public static func fxsave<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ area: D
  ) {
    let address = area.address(&b)
    b.saveLegacyState(address, wide: W.bits == 64)
  }

  @inline(__always) public static func fxrstor<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ area: D
  ) {
    let address = area.address(&b)
    b.restoreLegacyState(address, wide: W.bits == 64)
  }

  @inline(__always) public static func xsave<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ area: D
  ) {
    let address = area.address(&b)
    b.saveExtendedState(address, wide: W.bits == 64, compacted: false)
  }

  /// Saves unmodified components too, which the manual allows.
  @inline(__always) public static func xsaveopt<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ area: D
  ) {
    xsave(&b, W.self, area)
  }

  @inline(__always) public static func xsavec<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ area: D
  ) {
    let address = area.address(&b)
    b.saveExtendedState(address, wide: W.bits == 64, compacted: true)
  }

  @inline(__always) public static func xrstor<B: Backend, W: Width, D: AddressablePlace>(
    _ b: inout B, _ width: W.Type, _ area: D
  ) {
    let address = area.address(&b)
    b.restoreExtendedState(address, wide: W.bits == 64)
  }
}
