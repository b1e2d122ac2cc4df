import Testing

@Test func moduleExists() {}
