-- Lua's library at work: closures, coroutines, metatables, patterns, formats, integers and floats, sorting, garbage.

local state = 88172645463325252
local function number()
  state = state ~ (state << 13)
  state = state ~ (state >> 7)
  state = state ~ (state << 17)
  return state
end

-- strings and patterns
local text = ("the quick brown fox jumps over the lazy dog "):rep(5)
local counts = {}
for word in text:gmatch("%a+") do counts[word] = (counts[word] or 0) + 1 end
local words = {}
for word, count in pairs(counts) do words[#words + 1] = word .. "=" .. count end
table.sort(words)
print(table.concat(words, " "))
print(text:find("(%a+) (%a+)", 50), text:gsub("[aeiou]", { a = "1", e = "2", i = false }), #text)
print(("%5d|%-8s|%08.3f|%x|%q|%g|%a|%c|%i|%%"):format(42, "left", 3.14159, 255, "a\n\"b\"", 1e100, 0.1, 65, -7))
print(("key = value; other=thing"):gsub("(%w+)%s*=%s*(%w+)", "%2<-%1"), ("  trim  "):match("^%s*(.-)%s*$") .. "|")
print(string.pack("<i4>I2zs1d", -5, 513, "zero", "sized", 1.5):byte(1, -1))
print(string.unpack("<i4", "\1\2\3\4"), ("x"):rep(3, "-"), ("abc"):reverse():upper(), #("\u{20AC}"), utf8.char(228, 8364, 128512))
for position, code in utf8.codes("aä€") do io.write(position, ":", code, " ") end
print(utf8.len("aä€"), ("%bxy"):len(), ("f(a(b)c)d"):match("%b()"), ("THE (quick) fox"):find("%((%a+)%)"))

-- numbers
print(7 // 2, -7 // 2, 7 % -3, -7 % 3, 7.5 // 2, 2 ^ 0.5, 1 / 3, 10 / 2, 1e15, 1e16, 2 ^ 63, math.maxinteger + 1, 5 // 0.0, -5 % math.huge)
print(3 | 4, 6 & 3, 5 ~ 1, ~0, 1 << 63, -1 >> 1, "10" + 5, 0x7fffffffffffffff, 0xA.8p1, math.tointeger(3.0), math.type(1), math.type(1.0))
print(math.floor(-3.5), math.ceil(3.2), math.fmod(-7, 3), math.modf(-3.7), math.ult(1, -1), math.abs(math.mininteger), math.sqrt(2), math.pi)
for i = 1, 20 do io.write(("%.14g %.14g %.14g %.14g;"):format(math.sin(i), math.exp(i / 3), math.log(i), i ^ 1.7)) end
print()
local digest = 0
for i = 1, 5000 do digest = (digest * 31 + (number() >> (i % 60))) ~ (digest >> 11) end
print(digest)

-- tables and sorting
local list = {}
for i = 1, 2000 do list[i] = number() % 10007 end
table.sort(list, function(a, b) return a > b end)
print(list[1], list[1000], list[2000], select("#", table.unpack(list, 1, 100)))
table.move(list, 1, 10, 5)
table.insert(list, 3, "inserted")
print(table.remove(list, 1), table.concat(list, ",", 1, 12), #list, next({}), rawlen({ 1, 2 }), rawequal(list, list))

-- classes, metatables
local Vector = {}
Vector.__index = Vector
Vector.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, Vector) end
Vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end
Vector.__lt = function(a, b) return a.x < b.x end
Vector.__tostring = function(v) return "(" .. v.x .. ", " .. v.y .. ")" end
Vector.__call = function(v, k) return v.x * k end
Vector.__len = function() return 2 end
Vector.__concat = function(a, b) return tostring(a) .. "+" .. tostring(b) end
Vector.__close = function() print("closed") end
local function vector(x, y) return setmetatable({ x = x, y = y }, Vector) end
do
  local kept <close> = vector(0, 0)
  print(tostring(vector(1, 2) + vector(3, 4)), vector(1, 1) == vector(1, 1), vector(1, 0) < vector(2, 0), vector(5, 6)(3), #kept, kept .. vector(1, 1))
end
local defaults = setmetatable({}, { __index = function(_, key) return key .. "!" end, __newindex = function(t, k, v) rawset(t, k, v * 2) end })
defaults.five = 5
print(defaults.five, defaults.none)

-- coroutines and closures
local function permutations(items, n)
  n = n or #items
  if n <= 1 then coroutine.yield(items) end
  for i = 1, n do
    items[n], items[i] = items[i], items[n]
    permutations(items, n - 1)
    items[n], items[i] = items[i], items[n]
  end
end
local seen = 0
for items in coroutine.wrap(function() permutations({ 1, 2, 3, 4, 5 }) end) do
  if #items == 5 then seen = seen + items[1] * items[5] end
end
print("permutations", seen)
local thread = coroutine.create(function(a) local b = coroutine.yield(a * 2); error({ code = b }) end)
print(coroutine.resume(thread, 21))
local ok, problem = coroutine.resume(thread, 9)
print(ok, problem.code, coroutine.status(thread), pcall(error, "text", 0), select(2, pcall(function() local x = nil; return x.y end)))
print(xpcall(function() return 1 + {} end, function(message) return "handled: " .. message:gsub("^.-:%d+: ", "") end))

-- recursion, eight queens, mandelbrot, sieve
local function queens(n, row, columns, up, down)
  if row > n then return 1 end
  local total = 0
  for c = 1, n do
    if not (columns[c] or up[row + c] or down[row - c]) then
      columns[c], up[row + c], down[row - c] = true, true, true
      total = total + queens(n, row + 1, columns, up, down)
      columns[c], up[row + c], down[row - c] = nil, nil, nil
    end
  end
  return total
end
print("queens", queens(6, 1, {}, {}, {}))
local rows = {}
for y = -1.2, 1.2, 0.2 do
  local row = {}
  for x = -2, 0.6, 0.05 do
    local a, b, n = 0.0, 0.0, 0
    while a * a + b * b < 4 and n < 30 do a, b, n = a * a - b * b + x, 2 * a * b + y, n + 1 end
    row[#row + 1] = (" .:-=+*#%@"):sub(n // 3.3 // 1 | 0 + 1, n // 3.3 // 1 | 0 + 1)
  end
  rows[#rows + 1] = table.concat(row)
end
print(table.concat(rows, "\n"))
local composite, primes = {}, 0
for i = 2, 8000 do
  if not composite[i] then
    primes = primes + 1
    for k = i * i, 8000, i do composite[k] = true end
  end
end
print("primes", primes)

-- garbage, files, dynamic code
local weak = setmetatable({}, { __mode = "v" })
for i = 1, 3000 do weak[i] = { i, tostring(i) } end
collectgarbage()
local left = 0
for _ in pairs(weak) do left = left + 1 end
print("left", left, collectgarbage("count") < 3000)
local file <close> = assert(io.open("lua.txt", "w"))
for i = 1, 50 do file:write(i, " ", i * i, "\n") end
file:close()
local sum = 0
for a, b in io.lines("lua.txt", "n", "n") do sum = sum + a * b end
print("sum", sum, io.open("/nowhere/file"))
print(load("return ...  + 1")(41), load("syntax error here"), #string.dump(function() return 1 end) > 10)
goto done
print("never")
::done::
print(os.time({ year = 2020, month = 2, day = 20, hour = 12 }), os.date("!%Y-%m-%d", 1582230020), os.getenv("HOME"), #arg, arg[0] ~= nil)
if arg[1] == "fail" then error("asked to fail") end
