-- Lua: tables under collection, coroutines, deep recursion, text, files, a child process.
local count = tonumber(arg[1]) or 200000
local kept = {}
for i = 1, count do kept[i] = {i, "text " .. i, next = kept[i - 1]} end
collectgarbage()
local sum = 0
for i = #kept, 1, -1 do sum = (sum + kept[i][1] * #kept[i][2]) % 1000003 end
print("tables", #kept, sum)
local producer = coroutine.wrap(function() for i = 1, 100000 do coroutine.yield(i) end end)
local total = 0
for value in producer do total = total + value end
print("coroutines", total)
local function deeper(n) return 1 + deeper(n + 1) end
print(pcall(deeper, 0))
print(("x"):rep(100000):gsub("x+", function(s) return #s end))
local pipe = io.popen("sort -r", "w")
for i = 1, 5 do pipe:write(i, "\n") end
print(pipe:close())
local name = os.tmpname()
local file = io.open(name, "w")
file:write(("line\n"):rep(20000))
file:close()
local lines = 0
for _ in io.lines(name) do lines = lines + 1 end
os.remove(name)
print("lines", lines)
