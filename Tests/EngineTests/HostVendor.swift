// Who made the processor that runs the tests. Where the manual leaves a result open, the portable arithmetic does as AMD's
// processors do; comparisons with another host then expect what that host's maker does (Docs/floating-point.md, Docs/x87.md).

#if arch(x86_64)
  import CHost

  enum HostVendor {
    /// CPUID leaf 0 says "AuthenticAMD".
    static let isAMD: Bool = {
      var registers: [UInt32] = [0, 0, 0, 0]
      vt_host_identify(0, 0, &registers)
      return registers[1...] == [0x6874_7541, 0x444d_4163, 0x6974_6e65]
    }()
  }
#endif
