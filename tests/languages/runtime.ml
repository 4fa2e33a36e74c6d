(* OCaml: a heap under collection, exceptions, a deep recursion, threads by fork, Unix calls. *)
let rec build depth = if depth = 0 then [||] else Array.init 2 (fun _ -> Obj.magic (build (depth - 1)))
let rec size (tree : Obj.t array) = Array.fold_left (fun n t -> n + size (Obj.magic t)) 1 tree
let rec deep n = if n = 0 then 0 else 1 + deep (n - 1)

module M = Map.Make (Int)

let () =
  let count = if Array.length Sys.argv > 1 then int_of_string Sys.argv.(1) else 200000 in
  Printf.printf "tree %d\n" (size (build 15));
  let map = ref M.empty in
  for i = 1 to count do
    map := M.add (i * 7919 mod 1000003) (string_of_int i) !map
  done;
  Gc.compact ();
  Printf.printf "map %d %d\n" (M.cardinal !map)
    (M.fold (fun k v sum -> (sum + (k * String.length v)) land 0xffffff) !map 0);
  Printf.printf "deep %d\n" (deep 50000);
  (try ignore (deep 100000000) with Stack_overflow -> print_endline "overflow");
  (try ignore (M.find (-1) !map) with Not_found -> print_endline "not found");
  let channel = Unix.open_process_in "echo from the child; exit 3" in
  print_endline (input_line channel);
  (match Unix.close_process_in channel with
  | Unix.WEXITED code -> Printf.printf "exited %d\n" code
  | _ -> print_endline "otherwise");
  flush stdout;
  match Unix.fork () with
  | 0 -> exit (M.cardinal !map land 15)
  | pid -> (
      match Unix.waitpid [] pid with
      | _, Unix.WEXITED code -> Printf.printf "forked %d\n" code
      | _ -> print_endline "otherwise")
