import { Column, Entity, Index, PrimaryGeneratedColumn } from "typeorm";
import { json } from "../dialect";

@Entity("people")
export class Person {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column({ type: "varchar", length: 200 })
  name!: string;

  @Index("people_email", { unique: true })
  @Column({ type: "varchar", length: 254 })
  email!: string;

  @Column({ type: json, nullable: true })
  details!: Record<string, unknown> | null;
}
