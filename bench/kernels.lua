-- Kernels for the possession benchmark, each with a result that is printed: the same in every run.
local times = tonumber(arg[1]) or 1

local function fibonacci(n)
  return n < 2 and n or fibonacci(n - 1) + fibonacci(n - 2)
end

local function sieve(n)
  local composite, count = {}, 0
  for i = 2, n do
    if not composite[i] then
      count = count + 1
      for k = i * i, n, i do composite[k] = true end
    end
  end
  return count
end

local function strings(n)
  local parts = {}
  for i = 1, n do parts[#parts + 1] = ("%d:%s"):format(i, ("x"):rep(i % 7)) end
  local text = table.concat(parts, ",")
  local count = 0
  for word in text:gmatch("%d+:x+") do count = count + #word end
  return count .. " " .. #text:gsub("x+", "y")
end

local Account = {}
Account.__index = Account
function Account.new() return setmetatable({ sum = 0 }, Account) end
function Account:add(n) self.sum = self.sum + n return self end

local function methods(n)
  local account = Account.new()
  for i = 1, n do account:add(i):add(-1) end
  return account.sum
end

local function sorted(n)
  local numbers, x = {}, 42
  for i = 1, n do
    x = (x * 1103515245 + 12345) % 2147483648
    numbers[i] = x
  end
  table.sort(numbers, function(a, b) return a > b end)
  return numbers[1] .. " " .. numbers[n]
end

local function coroutines(n)
  local generator = coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end)
  local sum = 0
  for _ = 1, n do sum = sum + generator() end
  return sum
end

for _ = 1, times do
  print(fibonacci(27), sieve(300000), strings(30000), methods(500000), sorted(60000), coroutines(100000))
end
