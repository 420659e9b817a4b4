//! How servers end, and that what they saved is there afterwards.

use rustix::process::Signal;

use crate::support::Place;

/// Saves when players leave and in `BindToClose`; one more save is fired and not waited for.
const SERVER: &str = r#"
    local store = game:GetService("DataStoreService"):GetDataStore("Players")
    game.Players.PlayerAdded:Connect(function(player)
        print("joined", player.UserId, player.Name)
    end)
    game.Players.PlayerRemoving:Connect(function(player)
        store:UpdateAsync("player_" .. player.UserId, function(old) return (old or 0) + 1 end)
        print("saved", player.UserId)
    end)
    game:BindToClose(function(reason)
        print("closing", reason.Name, #game.Players:GetPlayers())
        store:SetAsync("closed", true)
        task.spawn(function() store:SetAsync("forgotten", true) end)
    end)
    print("ready")
    game:GetService("RunService").Heartbeat:Wait()
"#;

fn end_by(signal: Signal) {
    let place = Place::new();
    let mut server = place.start(SERVER, &["--players", "2", "--session", "50"]);
    server.wait_for("joined 1002 Ben");
    server.signal(signal);
    let ended = server.end();
    ended.expect(0).says("told to by a signal").says("0 failed, 0 unknown");
    for line in ["saved 1001", "saved 1002", "closing DeveloperShutdown 0"] {
        assert!(ended.out.contains(line), "{line}: {}", ended.out);
    }
    assert_eq!(place.get("Players", "player_1001").expect(0).out, "1\n");
    assert_eq!(place.get("Players", "player_1002").expect(0).out, "1\n");
    assert_eq!(place.get("Players", "closed").expect(0).out, "true\n");
    assert_eq!(place.get("Players", "forgotten").expect(0).out, "true\n");
}

#[test]
fn a_server_told_to_end_saves_what_it_has() {
    end_by(Signal::TERM);
}

#[test]
fn ctrl_c_saves_what_it_has() {
    end_by(Signal::INT);
}

#[test]
fn a_second_ctrl_c_ends_a_server_that_does_not_close() {
    let place = Place::new();
    let source = "game:BindToClose(function() print('closing') task.wait(1000) end) print('ready') task.wait(1000)";
    let mut server = place.start(source, &["--no-status"]);
    server.wait_for("ready");
    server.signal(Signal::INT);
    server.wait_for("closing");
    server.signal(Signal::INT);
    server.end().expect(130);
}

#[test]
fn a_kicked_player_is_not_waited_for() {
    let place = Place::new();
    let source = "game.Players.PlayerAdded:Connect(function(player) player:Kick('no') print('kicked') end)";
    let ended = place.run(source, &["--players", "1", "--session", "0.2"]);
    ended.expect(0).says("the last player has left");
    assert_eq!(ended.out, "kicked\n");
}

#[test]
fn a_second_server_is_refused_and_told_who_is_there() {
    let place = Place::new();
    let mut server = place.start("print('ready') task.wait(1000)", &[]);
    server.wait_for("ready");
    let refused = place.run("print('never')", &[]);
    refused.expect(5).says(&format!("process {} is using it", server.pid()));
    assert_eq!(refused.out, "");
    server.signal(Signal::TERM);
    server.end().expect(0);
    place.run("print('now')", &[]).expect(0);
}

#[test]
fn identity_and_status_are_as_told() {
    let place = Place::new();
    let source = "print(game.GameId, game.PlaceId, game.JobId) task.wait(1.3)";
    let options = ["--universe-id", "42", "--place-id", "7", "--job-id", "A"];
    let ended = place.run(source, &options);
    assert_eq!(ended.expect(0).out, "42 7 A\n");
    ended.says("0 players | tick p99 ").says(" | 0 in flight | 0 saves/s | durable -");
    let quiet = place.run(source, &[&options[..], &["--no-status"]].concat());
    assert!(!quiet.expect(0).err.contains("tick p99"), "{}", quiet.err);
}
