// Between the two forms of a processor's state: the oracle's `native_state` and the engines' `vt_cpu_state`.

import CHost
import CNative
import Engine
import X86

extension native_state {
  /// Makes `cpu` what this state says, as far as its XCR0 has the components.
  func load(into cpu: UnsafeMutablePointer<CPUState>) {
    withUnsafeBytes(of: general) {
      UnsafeMutableRawPointer(cpu).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(cpu), byteCount: 128)
    }
    cpu.pointee.rip = rip
    cpu.pointee.lazyFlags = LazyFlags(rflags: rflags)
    var image = extended
    withUnsafeMutableBytes(of: &image) { area in
      guard let base = area.baseAddress else { return }
      for offset in Int(NATIVE_HEADER)..<Int(NATIVE_YMM_HIGH) { area[offset] = 0 }
      area.storeBytes(of: cpu.pointee.xcr0, toByteOffset: Int(NATIVE_HEADER), as: UInt64.self)
      _ = ExtendedState.restore(cpu, from: base, requested: ~0, wide: true)
    }
  }

  /// Becomes what `cpu` says; components that its XCR0 lacks stay.
  mutating func take(from cpu: UnsafeMutablePointer<CPUState>) {
    withUnsafeMutableBytes(of: &general) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: UnsafeRawPointer(cpu), count: 128))
    }
    rip = cpu.pointee.rip
    rflags = cpu.pointee.lazyFlags.rflags
    withUnsafeMutableBytes(of: &extended) { area in
      guard let base = area.baseAddress else { return }
      ExtendedState.save(cpu, to: base, requested: ~0, wide: true, compacted: false)
    }
  }
}
