-- A mix of what Lua programs do: calls, tables, strings, closures, floating point. The argument is the number of turns.
local turns = tonumber(arg[1])
local function fibonacci(n) if n < 2 then return n end return fibonacci(n - 1) + fibonacci(n - 2) end
local digest = 0
for turn = 1, turns do
  digest = digest + fibonacci(15)
  local list = {}
  for i = 1, 400 do list[i] = (i * 7919 + turn) % 1009 end
  table.sort(list, function(a, b) return a > b end)
  local words = {}
  for i = 1, 100 do words[#words + 1] = ("%d:%s"):format(list[i], tostring(i * 0.5)) end
  local text = table.concat(words, ","):gsub("%d+", function(n) return n + 1 end)
  digest = (digest * 31 + #text + text:byte(turn % #text + 1)) % 1000000007
  local x = 0.0
  for i = 1, 500 do x = x + math.sin(i) * i ^ 0.5 end
  digest = digest + math.floor(x)
end
print(digest)
