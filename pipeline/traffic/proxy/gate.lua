-- A server that was just resolved counts as up until its first check, which may be a second
-- away: after a restart of the machine, people would be sent to a service that still starts.
-- So a place without a server is closed here, and opened once a check of whoever is in it has
-- passed. The places of `both` are the pipeline's, which opens and closes them itself.

local LOOK = 20 -- milliseconds

local function look(server)
    local stats = server:get_stats()
    if stats.status:find("^MAINT") then
        server:set_drain()
    elseif stats.status == "DRAIN" and stats.check_status:find("L7OK") then
        server:set_ready()
    end
end

core.register_task(function()
    while true do
        for _, colour in ipairs({"blue", "green"}) do
            for _, server in pairs(core.backends[colour].servers) do
                local done, why = pcall(look, server)
                if not done then core.Alert("gate.lua: " .. tostring(why)) end
            end
        end
        core.msleep(LOOK)
    end
end)
