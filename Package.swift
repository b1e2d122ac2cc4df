// swift-tools-version: 6.2
import PackageDescription

/// Types such as [Region] are put together by the program itself. Else the runtime does it at their first use, from their names
/// as text, and searches all conformances of the program for what the types' parameters demand: a tenth of a short run.
let directTypes = SwiftSetting.unsafeFlags([
  "-Xfrontend", "-disable-concrete-type-metadata-mangled-name-accessors",
])

/// Settings of the modules below `VirtualMachine`. `-O` also in debug builds: handlers of the interpreter hand over to
/// each other by tail calls, which exist only in optimised code (Docs/engine.md). Exclusivity checks cost up to 8 ns an
/// access there. Frame pointers of leaf functions cost 15 % of the interpreter's speed.
/// A stack protector would spill registers in every handler that has a local variable; merging of equal functions makes
/// one handler jump to another.
let core: [SwiftSetting] = [
  directTypes,
  .unsafeFlags([
    "-O", "-enforce-exclusivity=unchecked", "-Xcc", "-momit-leaf-frame-pointer",
    "-Xfrontend", "-disable-stack-protector", "-Xllvm", "-swiftmergefunc-threshold=0",
  ]),
]

/// Without the library of regular expressions, which one search for a word would bring along: a megabyte.
let plainText = SwiftSetting.unsafeFlags([
  "-Xfrontend", "-disable-implicit-string-processing-module-import",
])

/// Settings of the modules that wait for people most of the time.
let small: [SwiftSetting] = [
  plainText, directTypes, .unsafeFlags(["-Osize"], .when(configuration: .release)),
]

/// The product is one static executable: it starts as fast as /usr/bin/true and needs no Swift on the target machine. Nobody
/// unwinds its stack, so it goes without a megabyte and a half of tables for that.
let staticExecutable: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-static-executable", "-use-ld=lld", "-Xlinker", "-s", "-Xlinker", "--gc-sections",
      "-Xlinker", "--icf=safe", "-Xlinker", "--no-eh-frame-hdr",
      "-Xlinker", "--build-id=sha1",
      "-Xlinker", "-T\(Context.packageDirectory)/Tools/no-unwinding.ld",
    ], .when(configuration: .release)),
  .unsafeFlags(["-static-executable"], .when(configuration: .debug)),
]

let package = Package(
  name: "vitrine",
  products: [
    .executable(name: "vitrine", targets: ["vitrine"])
  ],
  targets: [
    .target(
      name: "CHost",
      cSettings: [.unsafeFlags(["-O2", "-fomit-frame-pointer", "-ftls-model=initial-exec"])]),
    .target(name: "X86", swiftSettings: core),
    .target(name: "GuestMemory", dependencies: ["CHost"], swiftSettings: core),
    .target(name: "Engine", dependencies: ["X86", "GuestMemory", "CHost"], swiftSettings: core),
    .target(
      name: "Translator", dependencies: ["Engine", "X86", "GuestMemory", "CHost"], swiftSettings: core),
    .target(name: "LinuxABI", swiftSettings: core),
    .target(name: "Linux", dependencies: ["LinuxABI", "X86", "GuestMemory", "CHost"], swiftSettings: core),
    .target(
      name: "VirtualMachine",
      dependencies: ["Engine", "Translator", "Linux", "LinuxABI", "X86", "GuestMemory", "CHost"],
      swiftSettings: core),
    .target(
      name: "Debugger",
      dependencies: [
        "Record", "VirtualMachine", "Engine", "Linux", "LinuxABI", "X86", "GuestMemory", "CHost",
      ],
      swiftSettings: core + [plainText]),
    .target(
      name: "Record",
      dependencies: [
        "VirtualMachine", "Translator", "Engine", "Linux", "LinuxABI", "X86", "GuestMemory", "CHost",
      ],
      swiftSettings: core + [plainText]),
    .target(
      name: "Trace",
      dependencies: ["Record", "VirtualMachine", "Engine", "Linux", "X86", "GuestMemory", "CHost"],
      swiftSettings: core + [plainText]),
    .target(
      name: "TUI",
      dependencies: [
        "Trace", "Record", "Debugger", "VirtualMachine", "Engine", "Linux", "LinuxABI", "X86", "GuestMemory",
        "CHost",
      ],
      swiftSettings: small),
    .executableTarget(
      name: "vitrine",
      dependencies: [
        "TUI", "Trace", "Record", "Debugger", "VirtualMachine", "Linux", "X86", "GuestMemory", "CHost",
      ],
      swiftSettings: small + [.unsafeFlags(["-static-executable"])], linkerSettings: staticExecutable),

    .executableTarget(name: "decodecheck", dependencies: ["X86"], path: "Tests/Tools/decodecheck"),
    // The proof over emitted code (Docs/translator-guard.md).
    .executableTarget(
      name: "escapecheck", dependencies: ["Translator", "Engine", "X86", "GuestMemory", "CHost"],
      path: "Tests/Tools/escapecheck", swiftSettings: [.unsafeFlags(["-static-executable"])],
      linkerSettings: staticExecutable),
    // The silicon oracle (Docs/testing.md).
    .target(name: "CNative", path: "Tests/Oracle/CNative", cSettings: [.unsafeFlags(["-O2"])]),
    .executableTarget(
      name: "oracle", dependencies: ["CNative", "Engine", "Translator", "GuestMemory", "X86", "CHost"],
      path: "Tests/Oracle/Sources", swiftSettings: [.unsafeFlags(["-static-executable"])],
      linkerSettings: staticExecutable),

    .testTarget(name: "X86Tests", dependencies: ["X86"]),
    .testTarget(name: "GuestMemoryTests", dependencies: ["GuestMemory", "CHost"]),
    .testTarget(name: "EngineTests", dependencies: ["Engine", "X86", "GuestMemory", "CHost"]),
    .testTarget(
      name: "TranslatorTests", dependencies: ["Translator", "Engine", "X86", "GuestMemory", "CHost"]),
    .testTarget(
      name: "VirtualMachineTests",
      dependencies: ["VirtualMachine", "Engine", "Linux", "GuestMemory", "CHost"]),
    .testTarget(name: "RecordTests", dependencies: ["Record", "Engine", "GuestMemory", "CHost"]),
    .testTarget(name: "DebuggerTests", dependencies: ["Debugger", "Engine", "CHost"]),
    .testTarget(name: "TUITests", dependencies: ["TUI"]),
    .testTarget(name: "LinuxTests", dependencies: ["Linux", "LinuxABI", "GuestMemory", "CHost"]),
  ]
)
