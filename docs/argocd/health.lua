-- DatabaseMigration status is in kstatus format: status.observedGeneration plus the
-- Ready, Reconciling (abnormal-true) and Stalled (abnormal-true) conditions.
local hs = { status = "Progressing", message = "Waiting for the operator to observe the migration" }

if obj.status == nil or obj.status.observedGeneration == nil
    or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local cond = {}
if obj.status.conditions ~= nil then
  for _, c in ipairs(obj.status.conditions) do
    cond[c.type] = c
  end
end
local function isTrue(t)
  return cond[t] ~= nil and cond[t].status == "True"
end
local function msg(t)
  if cond[t] == nil or cond[t].message == nil then return "" end
  if obj.status.phase ~= nil then return obj.status.phase .. ": " .. cond[t].message end
  return cond[t].message
end

if isTrue("Stalled") then
  hs.status = "Degraded"
  hs.message = msg("Stalled")
elseif isTrue("Ready") then
  -- The schema is there for the next wave, whatever the release still waits for: a paused check, an
  -- approval or a suspension must not keep Argo CD from deploying what it waits for.
  hs.status = "Healthy"
  hs.message = msg("Ready")
elseif (obj.spec ~= nil and obj.spec.suspend == true) or isTrue("Paused") then
  hs.status = "Suspended"
  if isTrue("Paused") then hs.message = msg("Paused") else hs.message = "spec.suspend is true" end
elseif isTrue("Reconciling") then
  hs.message = msg("Reconciling")
elseif cond["Ready"] ~= nil then
  hs.message = msg("Ready")
end
return hs
